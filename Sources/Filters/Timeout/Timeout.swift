package import Pipeline

/// Ends what is below it when the service has not answered in time: 504, flag UT.
package final class Timeout: RequestHeadFilter, OutcomeFilter {
    package static let name: FilterName = "timeout"
    package static let summary = "a deadline for all that stands below it (504)"

    package struct Config: FilterConfig {
        package enum Covers: String, CaseIterable, ConfigValue {
            case response
            case responseHead = "response-head"
        }

        let after: Nanoseconds
        let covers: Covers

        package init(_ fields: inout ConfigFields) {
            after = fields.read(
                "after", default: .seconds(15), "Time from the request's last byte until it is over; \"0s\": no limit.",
                .in(.zero ... .seconds(86_400)))
            covers = fields.read(
                "covers", default: .response, "What must be there by then: the whole response, or (for streams) its head.")
        }
    }

    private let after: Nanoseconds
    private let coversHeadOnly: Bool
    private let expired: Counter

    package init(_ config: Config, _ stage: inout StageSetup) {
        after = config.after
        coversHeadOnly = config.covers == .responseHead
        expired = stage.counter("expired_total", "Deadlines of this stage that passed.")
    }

    package func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        let isGRPC = exchange.storage.isGRPC
        if after > .zero { exchange.setDeadline(after: after, coversHeadOnly: coversHeadOnly || isGRPC) }
        if isGRPC, let given = exchange.storage.grpcTimeout {
            exchange.storage.pointee.setDeadline(at: exchange.storage.pointee.startedAt + given)
        }
        return .next
    }

    package func onOutcome(_ exchange: borrowing Exchange, _ outcome: Outcome) {
        if exchange.isExpiredHere { expired.increment() }
    }
}
