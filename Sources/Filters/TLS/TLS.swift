package import Pipeline

/// Says how connections are secured; the host does the handshakes and keeps the keys.
///
/// It takes part in no phase of an exchange. Which mode holds is a matter of the mesh and the service (`mtls`), not of the
/// chain: a chain that could weaken it would be a way around the policy.
package final class TLS: TransportFilter {
    package static let name: FilterName = "tls"
    package static let summary = "mutual TLS 1.3 between sidecars: first inbound, last outbound"

    package struct Config: FilterConfig {
        /// Older versions are not spoken at all.
        package enum Version: String, CaseIterable, ConfigValue { case tls13 = "1.3" }

        let minimumVersion: Version

        package init(_ fields: inout ConfigFields) {
            minimumVersion = fields.read("minimumVersion", default: .tls13, "The oldest version of TLS that is spoken.")
        }
    }

    package let transport: TransportSecurity

    package init(_ config: Config, _ stage: inout StageSetup) {
        // Outbound the peer's own record decides: mTLS to a sidecar, plaintext to an endpoint without one.
        let mode: TransportSecurity.Mode =
            switch stage.snapshot?.access.mtls {
            case .permissive: .permissive
            case .strict, nil: .strict
            }
        transport = TransportSecurity(mode: mode)
    }
}
