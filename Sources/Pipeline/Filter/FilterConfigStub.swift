public protocol FilterConfig: Sendable {}
public struct StageSetup { }
