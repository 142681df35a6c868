import Pipeline
import Testing

@testable import Pipeline

@Suite("Floods of frames")
struct FloodGuardTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)

    @Test("A flood of a kind is found within its burst, and another kind's peer does not suffer", arguments: [
        (FloodGuard.Kind.reset, 500), (.control, 1_000), (.emptyData, 100), (.ignored, 1_000),
    ])
    func floods(kind: FloodGuard.Kind, burst: Int) {
        var guardian = FloodGuard()
        for _ in 0..<burst { check(guardian.admits(kind, at: Self.start)) }
        check(!guardian.admits(kind, at: Self.start))
        for other in FloodGuard.Kind.allCases where other != kind { check(guardian.admits(other, at: Self.start)) }
        check(guardian.admits(kind, at: Self.start + .seconds(1)))
    }

    @Test("WINDOW_UPDATEs belong to DATA that was sent")
    func updates() {
        var guardian = FloodGuard()
        for _ in 0..<FloodGuard.updatesAtFirst { check(guardian.admitsUpdate()) }
        check(!guardian.admitsUpdate())
        var busy = FloodGuard()
        for _ in 0..<100_000 {
            busy.sentData()
            for _ in 0..<10 { check(busy.admitsUpdate()) }
        }
    }

    @Test("A block has few continuations, and none without a byte but the last")
    func continuations() {
        var guardian = FloodGuard()
        for _ in 0..<3 {
            guardian.beginsBlock()
            for _ in 0..<FloodGuard.continuationsMax { check(guardian.admitsContinuation(bytes: 100, isLast: false)) }
            check(!guardian.admitsContinuation(bytes: 100, isLast: true))
        }
        guardian.beginsBlock()
        check(guardian.admitsContinuation(bytes: 0, isLast: true))
        guardian.beginsBlock()
        check(!guardian.admitsContinuation(bytes: 0, isLast: false))
    }

    @Test("An hour of healthy use is never taken for a flood: a thousand calls a second, twenty cancelled, keep-alive and bandwidth probes")
    func healthy() {
        var guardian = FloodGuard()
        var now = Self.start
        for _ in 0..<3_600 {
            for call in 0..<100 {
                for _ in 0..<10 { guardian.sentData() }
                check(guardian.admitsUpdate() && guardian.admitsUpdate())
                if call % 5 == 0 { check(guardian.admits(.reset, at: now)) }
                if call % 2 == 0 { check(guardian.admits(.control, at: now)) }
                if call % 50 == 0 { check(guardian.admits(.emptyData, at: now) && guardian.admits(.ignored, at: now)) }
                now = now + .milliseconds(10)
            }
        }
    }
}
