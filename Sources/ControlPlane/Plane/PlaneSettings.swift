package import Host
package import Pipeline

/// How a control plane runs.
package struct PlaneSettings: Sendable {
    /// Store, authority and sockets; made 0700 if it is not there.
    package var stateDirectory: String
    /// Where sidecars join, are pushed to and report: TLS.
    package var mesh: SocketAddress
    /// Where Prometheus scrapes: plain HTTP, loopback.
    package var metrics: SocketAddress
    /// Where operators reach the API from other hosts, under TLS and with a credential; nil: nowhere.
    package var api: SocketAddress?
    /// First part of every identity; fixed for the life of the authority.
    package var trustDomain: String
    /// How long a sidecar is believed without a word.
    package var lease = LeaseTable.Policy().lease

    /// In a rotation sidecars renew at a random moment within this time, not all at once.
    package var renewalWindow = Nanoseconds.seconds(60)

    package init(stateDirectory: String, mesh: SocketAddress, metrics: SocketAddress, trustDomain: String = "weft.internal") {
        self.stateDirectory = stateDirectory
        self.mesh = mesh
        self.metrics = metrics
        self.trustDomain = trustDomain
    }

    var leasePolicy: LeaseTable.Policy {
        var policy = LeaseTable.Policy()
        policy.lease = lease
        return policy
    }

    package var apiPath: String { stateDirectory + "/api.sock" }
}
