package import Pipeline

/// All that a sidecar is told at its start.
package struct SidecarSettings: Sendable {
    /// How it goes: each phase is bounded.
    package struct Drain: Sendable {
        /// Between the announcement and closing the inbound port: callers' sidecars hear of it within a second.
        package var announcement = Nanoseconds.seconds(1)
        /// For inbound requests in flight (Istio's `terminationDrainDuration` is 5 s, Kubernetes' whole grace period 30 s).
        package var inboundMax = Nanoseconds.seconds(15)
        /// For the application to end, or to make no more calls.
        package var outboundMax = Nanoseconds.seconds(5)
        /// For the last metrics to be acknowledged.
        package var flushMax = Nanoseconds.seconds(3)

        package init() {}
    }

    /// Names the sidecar across restarts.
    package var name: String
    package var service: String
    package var namespace = "default"
    /// Of the service; empty for one without versions.
    package var version = ""
    /// Of the service, which the inbound port stands for.
    package var servicePort = 8080
    package var application: SocketAddress?
    /// Path of a GET that says whether the application is well; nil: that it accepts connections is enough.
    package var healthPath: String?
    package var entrances = Dataplane.Entrances()
    package var admin: SocketAddress?
    /// The state folder.
    package var state: String
    package var workers = 1
    /// Nil: local files alone.
    package var controlPlane: SocketAddress?
    package var token: String?
    package var exportInterval = Nanoseconds.seconds(2)
    package var drain = Drain()
    /// PEM of key, chain and roots, without a control plane; nil: no identity, inbound is plaintext.
    package var certificates: (key: [UInt8], chain: [UInt8], roots: [UInt8])?

    package init(name: String, service: String, state: String) {
        self.name = name
        self.service = service
        self.state = state
    }
}

/// What a sidecar's own files say; read again at SIGHUP.
package struct LocalConfig: Sendable {
    /// The whole snapshot of a sidecar that runs on local files alone.
    package var snapshot: Snapshot?
    /// Chains of `filters.d`: in force until the control plane's come, which may not lack its required stages.
    package var chain: ChainPart?

    package init(snapshot: Snapshot? = nil, chain: ChainPart? = nil) {
        self.snapshot = snapshot
        self.chain = chain
    }
}
