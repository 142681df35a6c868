import Testing

/// Whole meshes of processes on this machine. One test at a time: each is a load, a kill or a measurement of its own.
@Suite("Loopback", .serialized)
enum Loopback {}
