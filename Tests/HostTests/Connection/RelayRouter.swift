import Pipeline

/// The least a chain needs: every inbound request goes to the application, every outbound one to the endpoint that the
/// test named by its label.
final class RelayRouter: DestinationResolver {
    static let name: FilterName = "router"

    struct Config: FilterConfig {
        let endpoint: Int
        init(_ fields: inout ConfigFields) { endpoint = fields.read("endpoint", default: 0, "Label of the endpoint.") }
    }

    private let endpoint: Int32

    init(_ config: Config, _ stage: inout StageSetup) { endpoint = Int32(config.endpoint) }

    func resolve(_ exchange: borrowing Exchange) -> Destination { Destination() }

    func onRequestHead(_ exchange: borrowing Exchange) -> RequestVerdict {
        exchange.storage.pointee.endpoint = endpoint
        return .next
    }
}
