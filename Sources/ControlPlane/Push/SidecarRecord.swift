internal import Host
internal import Pipeline

/// What the control plane knows of one sidecar, connected or not.
final class SidecarRecord {
    /// A part as it is wanted: pushed, and pushed again to whoever comes back without it.
    struct Body {
        let version: String
        let text: String
        /// When it was compiled.
        let made: Instant
    }

    var hello: PushMessage.Hello
    var publisher = PublisherMachine()
    var bodies: [SnapshotPart: Body] = [:]
    var stream: FramedStream?
    var session: UInt64 = 0
    /// In the control plane's uptime.
    var lastHeard: Instant
    /// Seconds since 1970; 0 until it came with one.
    var certificateEnds: Int64 = 0
    /// Names the root that issued it, as `PeerIdentity.issuer`; 0 until it came with one.
    var certificateIssuer: UInt64 = 0
    var healthReason = ""
    /// It said that it will not come back.
    var hasLeft = false

    init(hello: PushMessage.Hello, at uptime: Instant) {
        self.hello = hello
        lastHeard = uptime
    }

    /// A sidecar is known by its identity and its name: no service can speak for another's sidecar by taking its name.
    var key: String { Self.key(hello.namespace, hello.service, hello.sidecar) }

    static func key(_ namespace: String, _ service: String, _ name: String) -> String { "\(namespace)/\(service)/\(name)" }

    var workload: TrafficPart.WorkloadRef {
        TrafficPart.WorkloadRef(service: hello.service, namespace: hello.namespace, version: hello.version)
    }
}

extension SnapshotPart {
    var part: Snapshot.Part {
        switch self {
        case .trust: .trust
        case .access: .access
        case .traffic: .traffic
        case .chain: .chain
        }
    }
}
