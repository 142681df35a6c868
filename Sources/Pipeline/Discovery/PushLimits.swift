/// What the push stream may cost either side. Whoever sends beyond a limit has its stream closed with the reason.
package enum PushLimits {
    /// One frame. The largest mesh we plan for (5,000 services) is about 3 MiB for a sidecar that reaches everything.
    package static let frameBytesMax = 8 << 20
    /// One frame from a sidecar to the control plane, bytes: a hello with a hundred filters' schemas has about 100 KiB.
    package static let frameFromSidecarBytesMax = 1 << 20
    /// Values in one frame's JSON.
    package static let nodesMax = 500_000
    /// A name, version or address, in bytes.
    package static let nameBytesMax = 512
    /// A reason, in bytes; a longer one is cut.
    package static let reasonBytesMax = 4 << 10
    /// Endpoints in one hello.
    package static let endpointsMax = 64
    /// Filters in one hello.
    package static let filtersMax = 1_024
}
