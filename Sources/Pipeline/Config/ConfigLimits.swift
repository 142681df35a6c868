/// What a config text may cost to read. At a limit the reader reports a problem; nothing is read silently in part.
public struct ConfigLimits: Sendable {
    /// Bytes of one text. The largest mesh we plan for (5,000 services) is about 3 MiB of JSON.
    public var bytesMax = 8 << 20
    /// Objects and lists inside one another. The deepest resource needs 8.
    public var depthMax = 32
    /// Values in one text, so that 8 MiB of `[[],[],…` cannot become gigabytes of nodes.
    public var nodesMax = 500_000
    /// Problems reported in one run; more would scroll the first one away.
    public var problemsMax = 20

    public init() {}
}
