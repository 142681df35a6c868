import Glibc
import Pipeline
import Testing

@testable import Host

@Suite struct ListenerExhaustionTests {
    private struct Seen: Sendable {
        var accepted: UInt64 = 0
        var shed: UInt64 = 0
        var turns = 0
    }

    /// unshare(CLONE_FILES), which Swift's Glibc does not show.
    private static func takeOwnDescriptors() -> Int32 {
        guard let symbol = dlsym(nil, "unshare") else { return -1 }
        return unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)(0x400)
    }

    @Test("Out of descriptors, callers get a clean close, the loop does not spin, and service resumes with the first free one")
    func exhausted() throws {
        let address = Lock<SocketAddress?>(nil)
        let seen = Lock(Seen())
        // A thread with a descriptor table of its own, so that no other test feels the want.
        let thread = try LoopThread(name: "exhausted", prepare: { loop in
            #expect(Self.takeOwnDescriptors() == 0)
            let listener = try! Listener(on: loop, at: SocketAddress("127.0.0.1:0")!) { descriptor, _ in Descriptor.close(descriptor) }
            let retained = Unmanaged.passRetained(listener)
            nonisolated(unsafe) var hoard: [Int32] = []
            while true {
                let copy = dup(0)
                if copy < 0 { break }
                hoard.append(copy)
            }
            let ticker = EventLoopTests.Probe()
            ticker.onCall = { _ in
                let listener = retained.takeUnretainedValue()
                seen.withLock { seen in
                    seen.accepted = listener.counts.accepted
                    seen.shed = listener.counts.shed
                    seen.turns += 1
                }
                if listener.counts.shed == 20, !hoard.isEmpty {
                    for each in hoard { Descriptor.close(each) }
                    hoard = []
                }
                _ = loop.arm(at: loop.now + .milliseconds(5), EventLoopTests.Probe.callback, ticker.pointer)
            }
            _ = loop.arm(at: loop.now, EventLoopTests.Probe.callback, ticker.pointer)
            _ = Unmanaged.passRetained(ticker)
            address.withLock { $0 = listener.address }
        })
        while address.withLock({ $0 }) == nil { usleep(1000) }
        let target = try #require(address.withLock { $0 })
        var ended = 0
        for index in 0..<25 {
            guard case .inProgress(let caller) = Socket.connect(to: target) else { continue }
            defer { Descriptor.close(caller) }
            var byte: UInt8 = 0
            for _ in 0..<5_000 {
                if Socket.connectResult(caller) == 0, Socket.read(caller, into: &byte, count: 1) == .closed {
                    ended += 1
                    break
                }
                usleep(1000)
            }
            // The hoard is given back after the twentieth.
            if index == 19 { usleep(50_000) }
        }
        usleep(20_000)
        let result = seen.withLock { $0 }
        thread.stop()
        thread.join()
        #expect(ended == 25)
        #expect(result.shed == 20)
        #expect(result.accepted == 5)
    }
}
