package import Pipeline

/// How one sidecar process runs: where it listens, what it stands beside, where it keeps its things. Not what it decides:
/// that is the snapshot.
package struct SidecarSettings: Sendable {
    package var workload: TrafficPart.WorkloadRef
    /// Unique among the mesh's workloads; what `weft ps` shows.
    package var name: String
    package var workers = 1
    /// Makes the data path's random choices (versions, endpoints, back-offs) repeatable, for tests; nil: the operating
    /// system seeds them.
    package var seed: UInt64?
    package var bounds = Bounds()
    package var entrances = Dataplane.Entrances()
    /// Where the application listens; nil for a caller that serves nothing.
    package var application: SocketAddress?
    /// Loopback TCP; the unix socket in the state directory is always there.
    package var admin: SocketAddress?
    package var stateDirectory: String
    /// PEM files, for a sidecar without a control plane.
    package var certificateFiles: CertificateFiles?
    /// Nil: local files alone.
    package var controlPlane: ControlPlane?
    /// Stage ids that a pushed chain must have, by direction.
    package var requiredStages: [ChainBuilder.Direction: [String]] = [:]
    /// Path of a GET that says whether the application is well; nil: that it accepts connections is enough.
    package var healthPath: String?
    /// Between two batches of metrics.
    package var exportInterval = Nanoseconds.seconds(2)
    package var drain = Drain()

    /// How it goes: each phase ends as soon as there is nothing to wait for, and at its bound.
    package struct Drain: Sendable {
        /// Between the announcement and closing the inbound port: callers' sidecars hear of it within a second.
        package var announcement = Nanoseconds.seconds(1)
        /// For inbound requests in flight (Istio's `terminationDrainDuration` is 5 s, Kubernetes' whole grace period 30 s).
        package var inboundMax = Nanoseconds.seconds(15)
        /// For the application to end and its calls to be answered.
        package var outboundMax = Nanoseconds.seconds(5)
        /// For the last metrics to be acknowledged.
        package var flushMax = Nanoseconds.seconds(3)

        package init() {}
    }

    package struct CertificateFiles: Sendable {
        package var certificate: String
        package var key: String
        package var bundle: String

        package init(certificate: String, key: String, bundle: String) {
            self.certificate = certificate
            self.key = key
            self.bundle = bundle
        }
    }

    package struct ControlPlane: Sendable {
        package var address: SocketAddress
        /// Needed until the first SVID is there.
        package var token: String?

        package init(address: SocketAddress, token: String?) {
            self.address = address
            self.token = token
        }
    }

    package init(workload: TrafficPart.WorkloadRef, name: String, stateDirectory: String) {
        self.workload = workload
        self.name = name
        self.stateDirectory = stateDirectory
    }
}

/// What a sidecar's own files say besides its settings; read again at SIGHUP.
package struct SidecarFiles: Sendable {
    /// Of a sidecar that runs on local files alone.
    package var snapshot: Snapshot?
    /// Stage ids that a pushed chain must have, by direction.
    package var requiredStages: [ChainBuilder.Direction: [String]]

    package init(snapshot: Snapshot? = nil, requiredStages: [ChainBuilder.Direction: [String]] = [:]) {
        self.snapshot = snapshot
        self.requiredStages = requiredStages
    }
}
