/// Every endpoint this process was ever told of, by a dense label: what the router writes into an exchange and the host
/// looks a connection pool up by.
///
/// A label means one address and one expected identity for the life of the process, so pools, breakers and counters of an
/// endpoint survive every snapshot that keeps it.
package final class EndpointDirectory: Sendable {
    package struct Record: Sendable, Hashable {
        /// `host:port` or `unix:/path`.
        package let address: String
        /// The SPIFFE id its sidecar must prove; nil: plaintext, no sidecar.
        package let identity: String?
        /// What it speaks in the clear. A sidecar is asked (ALPN).
        package let spoken: HTTPVersion

        package init(address: String, identity: String?, spoken: HTTPVersion = .http1) {
            self.address = address
            self.identity = identity
            self.spoken = spoken
        }
    }

    /// Of HTTP, to an application.
    package enum HTTPVersion: UInt8, BitwiseCopyable, Sendable, Hashable {
        case http1, http2
        /// As whoever called: its port does not say, and callers know what they call.
        case asCalled

        package init(_ spoken: PortProtocol) {
            switch spoken {
            case .auto: self = .asCalled
            case .http, .tcp: self = .http1
            case .http2, .grpc: self = .http2
            }
        }
    }

    /// The label of the application that an inbound chain stands in front of; the host alone knows its address.
    package static let application: Int32 = 0
    /// Labels are never given out twice; a process that has seen this many endpoints takes no new ones.
    package static let labelsMax = 1_000_000

    private struct Contents: Sendable {
        var labels: [Record: Int32] = [:]
        var records = [Record(address: "", identity: nil)]
    }

    private let contents = Lock(Contents())

    package init() {}

    /// The endpoint's label, a new one if it is unknown; nil when there are no more.
    package func label(of record: Record) -> Int32? {
        contents.withLock { contents in
            if let known = contents.labels[record] { return known }
            guard contents.records.count < Self.labelsMax else { return nil }
            let label = Int32(contents.records.count)
            contents.records.append(record)
            contents.labels[record] = label
            return label
        }
    }

    /// Nil for a label that was never given out, and for the application.
    package func record(of label: Int32) -> Record? {
        contents.withLock { label > 0 && Int(label) < $0.records.count ? $0.records[Int(label)] : nil }
    }
}
