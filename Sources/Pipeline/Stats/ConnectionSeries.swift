/// The gauge of connections that are open between two services: its name, and what they are counted apart by.
///
/// A sidecar's registry holds one such series per pair. Batches carry it under the same name, so that the page of a sidecar
/// and that of the control plane speak of it alike.
package enum ConnectionSeries {
    package static let name = "weft_connections"
    package static let help = "Connections between sidecars that are open, by pair and version."

    package static func labels(
        reporter: CallKey.Reporter, source: String, destination: String, version: String
    ) -> [StatsRegistry.Label] {
        [
            .init("reporter", reporter == .source ? "source" : "destination"), .init("source", source), .init("destination", destination),
            .init("version", version),
        ]
    }
}
