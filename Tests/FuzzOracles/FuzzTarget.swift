/// One thing that reads what others wrote, and the properties that hold for whatever it is given.
///
/// The same function judges millions of inputs under libFuzzer and every kept input in the ordinary test run.
package struct FuzzTarget: Sendable {
    package let name: String
    /// Bytes of an input worth trying: enough to reach every state, few enough to be quick.
    package let inputBytesMax: Int
    /// Throws ``Violation`` if a property does not hold.
    package let check: @Sendable (UnsafeRawBufferPointer) throws -> Void

    package init(_ name: String, inputBytesMax: Int, check: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void) {
        self.name = name
        self.inputBytesMax = inputBytesMax
        self.check = check
    }

    package static let all: [FuzzTarget] = [
        FuzzTarget("request", inputBytesMax: 1_024) { try RequestOracle.check($0) },
        FuzzTarget("response", inputBytesMax: 1_024) { try ResponseOracle.check($0) },
        FuzzTarget("chunked", inputBytesMax: 512) { try ChunkedOracle.check($0) },
        FuzzTarget("path", inputBytesMax: 256) { try PathOracle.check($0) },
        FuzzTarget("config", inputBytesMax: 1_024) { try ConfigOracle.check($0) },
        FuzzTarget("snapshot", inputBytesMax: 2_048) { try SnapshotOracle.check($0) },
        FuzzTarget("telemetry", inputBytesMax: 1_024) { try TelemetryOracle.check($0) },
        FuzzTarget("push", inputBytesMax: 1_024) { try PushOracle.check($0) },
        FuzzTarget("spelling", inputBytesMax: 256) { try SpellingOracle.check($0) },
        FuzzTarget("frames", inputBytesMax: 512) { try FramesOracle.check($0) },
        FuzzTarget("streams", inputBytesMax: 1_024) { try StreamsOracle.check($0) },
        FuzzTarget("hpack", inputBytesMax: 512) { try HPACKOracle.check($0) },
        FuzzTarget("firstbytes", inputBytesMax: 512) { try FirstBytesOracle.check($0) },
    ]
}

/// A property that an input breaks.
package struct Violation: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Ends the check of this input with a finding unless `holds`.
func expect(_ holds: Bool, _ property: @autoclosure () -> String) throws(Violation) {
    guard holds else { throw Violation(property()) }
}
