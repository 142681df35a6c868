/// One of the parts a snapshot is pushed, checked and accepted in, each on its own.
///
/// In the order they are sent: whom to trust and whom to refuse come before where to go.
package enum SnapshotPart: String, CaseIterable, Sendable, Hashable {
    case trust, access, traffic, chain
}

/// What control plane and sidecar say to each other on the push stream.
///
/// Every message belongs to a session, a number the sidecar raises with each connection and both sides repeat: what comes
/// from an earlier connection is recognised and dropped.
package enum PushMessage: Equatable, Sendable {
    /// Sidecar, first: who it is and what it has.
    case hello(Hello)
    /// Control plane, first: how often to be heard from.
    case welcome(heartbeat: Nanoseconds)
    /// Control plane: run on this from now on.
    case part(PushedPart)
    /// Sidecar: it runs on this version now.
    case ack(SnapshotPart, version: String, generation: UInt64)
    /// Sidecar: it does not, for this reason, and goes on with what it had.
    case nack(SnapshotPart, version: String, generation: UInt64, reason: String)
    /// Both: still here. The sidecar's renews its lease.
    case heartbeat
    /// Sidecar: whether its application answers.
    case health(isHealthy: Bool, reason: String)
    /// Sidecar: it will stop soon; send it nothing new.
    case draining
    /// Sidecar: it is gone for good and need not be waited for.
    case leaving
    /// Control plane: get a new certificate within this time, at a random moment of it (the roots are being rotated).
    case renewCertificate(within: Nanoseconds)
    /// Control plane, last: it ends the stream, and why. Without a session: what it refuses may be the hello.
    case refused(reason: String)
    /// Of a later version of the protocol; to be ignored.
    case unknown(String)
}

extension PushMessage {
    package struct Hello: Equatable, Sendable {
        /// Names the sidecar across restarts.
        package var sidecar: String
        /// New with every start of its process.
        package var incarnation: String
        package var namespace: String
        package var service: String
        /// Of the service: `v2`.
        package var version: String
        /// Of weft itself.
        package var software: String
        /// Where the service can be reached through this sidecar.
        package var endpoints: [Endpoint]
        package var filters: [Filter]
        /// The version of each part it runs on.
        package var have: [SnapshotPart: String]

        package init(
            sidecar: String, incarnation: String, namespace: String, service: String, version: String = "", software: String = "",
            endpoints: [Endpoint] = [], filters: [Filter] = [], have: [SnapshotPart: String] = [:]
        ) {
            self.sidecar = sidecar
            self.incarnation = incarnation
            self.namespace = namespace
            self.service = service
            self.version = version
            self.software = software
            self.endpoints = endpoints
            self.filters = filters
            self.have = have
        }
    }

    package struct Endpoint: Equatable, Sendable {
        /// Of the service.
        package var port: Int
        /// `host:port` of the sidecar's inbound listener.
        package var address: String
        /// Raw streams come in there, for this port of the service and no other; else http for any.
        package var isStream: Bool

        package init(port: Int, address: String, isStream: Bool = false) {
            self.port = port
            self.address = address
            self.isStream = isStream
        }
    }

    /// A filter that the sidecar could run.
    package struct Filter: Equatable, Sendable {
        package var name: String
        /// Of its config, as JSON text.
        package var schema: String

        package init(name: String, schema: String) {
            self.name = name
            self.schema = schema
        }
    }
}

/// A part on its way to a sidecar.
package struct PushedPart: Equatable, Sendable {
    package let part: SnapshotPart
    /// A digest of the content: same version, same content.
    package let version: String
    /// Rises with every push of a session; the later one wins.
    package let generation: UInt64
    /// JSON text.
    package let body: [UInt8]

    package init(part: SnapshotPart, version: String, generation: UInt64, body: [UInt8]) {
        self.part = part
        self.version = version
        self.generation = generation
        self.body = body
    }
}
