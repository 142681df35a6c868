internal import Host
internal import Pipeline

/// What the control plane knows of one sidecar, connected or not.
struct SidecarRecord {
    var hello: PushMessage.Hello
    var publisher = PublisherMachine()
    /// Text of the version that is wanted, by part.
    var bodies: [SnapshotPart: (version: String, text: String)] = [:]
    var stream: FramedStream?
    var session: UInt64 = 0
    var lastSeen: Instant
    var certificateEnds: Int64 = 0
    var healthReason = ""

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
