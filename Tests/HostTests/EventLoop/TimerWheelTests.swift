import Pipeline
import Testing

@testable import Host

@Suite struct TimerWheelTests {
    private static let nothing: LoopCallback = { _, _ in }
    private let context = UnsafeMutableRawPointer(bitPattern: 8)!

    private func fired(_ wheel: inout TimerWheel, at milliseconds: Int64) -> [UInt32] {
        var kinds: [UInt32] = []
        while let due = wheel.takeDue(at: .zero + .milliseconds(milliseconds)) { kinds.append(due.kind) }
        return kinds
    }

    private func arm(_ wheel: inout TimerWheel, _ milliseconds: Int64, _ kind: UInt32) -> Timer {
        wheel.arm(at: .zero + .milliseconds(milliseconds), Self.nothing, context, kind: UInt16(kind))
    }

    @Test("Timers fire in order of deadline, across all levels, and never early")
    func order() {
        var wheel = TimerWheel(startingAt: .zero)
        defer { wheel.free() }
        for (kind, at) in [1, 63, 64, 65, 4095, 4096, 4097, 300_000, 20_000_000].enumerated().reversed() {
            _ = arm(&wheel, Int64(at), UInt32(kind))
        }
        #expect(fired(&wheel, at: 0) == [])
        #expect(fired(&wheel, at: 63) == [0, 1])
        #expect(fired(&wheel, at: 64) == [2])
        #expect(fired(&wheel, at: 4096) == [3, 4, 5])
        #expect(fired(&wheel, at: 299_999) == [6])
        #expect(fired(&wheel, at: 30_000_000) == [7, 8])
        #expect(wheel.count == 0)
        #expect(wheel.nextDeadline == nil)
    }

    @Test("A deadline between two milliseconds fires at the later one")
    func rounding() {
        var wheel = TimerWheel(startingAt: .zero)
        defer { wheel.free() }
        _ = wheel.arm(at: Instant(nanoseconds: 5_000_001), Self.nothing, context, kind: 1)
        let early = wheel.takeDue(at: Instant(nanoseconds: 5_999_999))
        #expect(early?.kind == nil)
        let late = wheel.takeDue(at: Instant(nanoseconds: 6_000_000))
        #expect(late?.kind == 1)
    }

    @Test("A cancelled timer stays silent, even when its place serves another")
    func cancelled() {
        var wheel = TimerWheel(startingAt: .zero)
        defer { wheel.free() }
        let first = arm(&wheel, 10, 1)
        wheel.cancel(first)
        let second = arm(&wheel, 10, 2)
        wheel.cancel(first)
        let moved = wheel.move(first, to: .zero + .milliseconds(1))
        #expect(moved == false)
        #expect(fired(&wheel, at: 10) == [2])
        let movedLate = wheel.move(second, to: .zero + .milliseconds(20))
        #expect(movedLate == false)
    }

    @Test("A timer beyond the wheel's reach does not hide nearer ones, and fires when it is due")
    func beyondReach() {
        // Parked in the current slot of the top level, it once made every other slot of that level look late.
        var wheel = TimerWheel(startingAt: .zero)
        defer { wheel.free() }
        #expect(fired(&wheel, at: 5) == [])
        _ = wheel.arm(at: .distantFuture, Self.nothing, context, kind: 1)
        _ = arm(&wheel, 1 << 37, 2)
        _ = arm(&wheel, 2 << 30, 3)
        #expect(wheel.nextDeadline == .zero + .milliseconds(2 << 30))
        #expect(fired(&wheel, at: 2 << 30) == [3])
        #expect(fired(&wheel, at: (1 << 37) - 1) == [])
        #expect(fired(&wheel, at: 1 << 37) == [2])
        #expect(wheel.count == 1)
    }

    @Test("Random timers, armed, moved and cancelled, agree with a sorted list")
    func againstModel() {
        var wheel = TimerWheel(startingAt: .zero)
        defer { wheel.free() }
        var random = Random(seed: 7)
        var model: [UInt32: (Timer, Int64)] = [:]
        var now: Int64 = 0
        var next: UInt32 = 0
        for _ in 0..<4_000 {
            switch UInt8.random(in: 0..<10, using: &random) {
            case 0..<4:
                let at = now + Int64.random(in: 0...(1 << Int64.random(in: 0...40, using: &random)), using: &random)
                model[next] = (arm(&wheel, at, next), at)
                next += 1
            case 4..<7:
                if let (kind, entry) = model.first { wheel.cancel(entry.0); model[kind] = nil }
            case 7:
                if let (kind, entry) = model.first {
                    let at = now + Int64.random(in: 0...5_000, using: &random)
                    let moved = wheel.move(entry.0, to: .zero + .milliseconds(at))
                    #expect(moved)
                    model[kind] = (entry.0, at)
                }
            default:
                now += Int64.random(in: 0...1 << Int64.random(in: 0...20, using: &random), using: &random)
                let expected = Set(model.filter { $0.value.1 <= now }.keys)
                let got = fired(&wheel, at: now)
                #expect(Set(got) == expected)
                #expect(got.count == expected.count)
                for kind in got { model[kind] = nil }
            }
            #expect(wheel.count == model.count)
            if let earliest = model.values.map(\.1).min(), model.count < 50 {
                #expect(wheel.nextDeadline! <= .zero + .milliseconds(max(earliest, now + 1)))
            }
        }
    }
}
