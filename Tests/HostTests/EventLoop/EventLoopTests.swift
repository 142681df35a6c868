import Glibc
import Pipeline
import Testing

@testable import Host

@Suite struct EventLoopTests {
    /// Counts callbacks; the tests' stand-in for a connection.
    final class Probe {
        var words: [UInt32] = []
        var onCall: ((UInt32) -> Void)?
        var pointer: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }
        static let callback: LoopCallback = { context, word in
            let probe = Unmanaged<Probe>.fromOpaque(context).takeUnretainedValue()
            probe.words.append(word)
            probe.onCall?(word)
        }
    }

    static func pair() -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        let result = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends)
        precondition(result == 0)
        return (ends[0], ends[1])
    }

    @Test("An edge comes once: the unread rest is not announced again, new bytes are")
    func edges() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        let (a, b) = Self.pair()
        defer { close(a); close(b) }
        let probe = Probe()
        let registration = try loop.register(a, Probe.callback, probe.pointer)
        loop.turn(waitingAtMost: .zero)
        #expect(probe.words.map { Readiness(rawValue: $0) } == [.writable])
        #expect(Socket.write(b, from: "xy", count: 2) == .bytes(2))
        loop.turn(waitingAtMost: .milliseconds(100))
        loop.turn(waitingAtMost: .zero)
        #expect(probe.words.count == 2)
        var byte: UInt8 = 0
        #expect(Socket.read(a, into: &byte, count: 1) == .bytes(1))
        loop.runAgain(registration, .readable)
        loop.turn(waitingAtMost: .seconds(10))
        #expect(probe.words.count == 3)
        #expect(Socket.write(b, from: "z", count: 1) == .bytes(1))
        loop.turn(waitingAtMost: .milliseconds(100))
        #expect(probe.words.count == 4)
        Socket.finishWriting(b)
        loop.turn(waitingAtMost: .milliseconds(100))
        #expect(Readiness(rawValue: probe.words.last!).contains(.peerFinished))
        withExtendedLifetime(probe) {}
    }

    @Test("An event taken from the kernel before its registration ended reaches nobody, not even the slot's next tenant")
    func stale() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        let (a, b) = Self.pair(), (c, d) = Self.pair()
        defer { for each in [a, b, c, d] { close(each) } }
        let first = Probe(), second = Probe(), tenant = Probe()
        var registrations = [
            try loop.register(a, Probe.callback, first.pointer), try loop.register(c, Probe.callback, second.pointer),
        ]
        // Both are writable at once: whoever is called first ends both and lets a tenant into the slots.
        let end: (UInt32) -> Void = { _ in
            for registration in registrations { loop.deregister(registration, detaching: true) }
            registrations = [try! loop.register(a, Probe.callback, tenant.pointer)]
        }
        first.onCall = end
        second.onCall = end
        loop.turn(waitingAtMost: .zero)
        #expect(first.words.count + second.words.count == 1)
        #expect(tenant.words.isEmpty)
        loop.turn(waitingAtMost: .zero)
        #expect(tenant.words.count == 1)
        withExtendedLifetime((first, second, tenant)) {}
    }

    @Test("Work put off by deferred work runs in the next turn")
    func deferred() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        let probe = Probe()
        probe.onCall = { word in if word < 3 { loop.atEndOfTurn(Probe.callback, probe.pointer, word + 1) } }
        loop.atEndOfTurn(Probe.callback, probe.pointer, 1)
        loop.turn(waitingAtMost: .seconds(10))
        #expect(probe.words == [1])
        loop.turn(waitingAtMost: .seconds(10))
        loop.turn(waitingAtMost: .seconds(10))
        #expect(probe.words == [1, 2, 3])
    }

    @Test("Timers wake the loop in order; the turn's clock has reached the deadline")
    func timers() throws {
        let loop = try EventLoop()
        defer { loop.destroy() }
        let probe = Probe()
        let start = loop.now
        var late: [Bool] = []
        probe.onCall = { word in
            late.append(loop.now >= start + .milliseconds(Int64(word)))
            if word == 12 { loop.stop() }
        }
        for at in [12, 5, 9] as [UInt32] { _ = loop.arm(at: start + .milliseconds(Int64(at)), Probe.callback, probe.pointer, kind: UInt16(at)) }
        loop.run()
        #expect(probe.words == [5, 9, 12])
        #expect(late == [true, true, true])
    }

    @Test("Forty thousand messages from four threads arrive, each thread's in order")
    func mailbox() throws {
        let received = Lock<[[Int]]>(Array(repeating: [], count: 4))
        let thread = try LoopThread(name: "test", prepare: { _ in })
        let posters = try (0..<4).map { poster in
            try LoopThread(
                name: "poster",
                prepare: { loop in
                    for number in 0..<10_000 {
                        while !thread.mailbox.post({ _ in received.withLock { $0[poster].append(number) } }) { sched_yield() }
                    }
                    loop.stop()
                })
        }
        for poster in posters { poster.join() }
        thread.stop()
        thread.join()
        #expect(received.withLock { $0 } == Array(repeating: Array(0..<10_000), count: 4))
        #expect(thread.mailbox.post { _ in } == false)
    }

    @Test("A full mailbox says so")
    func fullMailbox() throws {
        let mailbox = try Mailbox()
        for _ in 0..<Mailbox.messagesMax { #expect(mailbox.post { _ in }) }
        #expect(mailbox.post { _ in } == false)
        #expect(mailbox.takeAll().count == Mailbox.messagesMax)
        #expect(mailbox.post { _ in })
    }

    @Test("A signal that is blocked arrives as an event")
    func signal() throws {
        let received = Lock<[Int32]>([])
        let thread = try LoopThread(name: "signals", prepare: { loop in
            Signals.block([SIGUSR2])
            let signals = try! Signals([SIGUSR2], on: loop) { number in
                received.withLock { $0.append(number) }
                loop.stop()
            }
            // Lives as long as its loop here.
            _ = Unmanaged.passRetained(signals)
            pthread_kill(pthread_self(), SIGUSR2)
        })
        thread.join()
        #expect(received.withLock { $0 } == [SIGUSR2])
    }
}
