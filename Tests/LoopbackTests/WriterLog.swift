import Synchronization

/// What a writer on another thread began, and what was acknowledged to it.
final class WriterLog: Sendable {
    private struct State {
        var last = -1
        var acknowledged: [String: Int] = [:]
    }

    private let state = Mutex(State())

    func began(_ number: Int) { state.withLock { $0.last = number } }
    func acknowledge(_ name: String, _ number: Int) { state.withLock { $0.acknowledged[name] = number } }
    /// The last one begun; -1: none.
    var last: Int { state.withLock { $0.last } }
    /// The newest acknowledged number of each name.
    var acknowledged: [String: Int] { state.withLock { $0.acknowledged } }
}
