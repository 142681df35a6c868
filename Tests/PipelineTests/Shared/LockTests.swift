import Pipeline
import Testing

struct LockTests {
    private final class Log: Sendable {
        let all = Lock([Int]())
    }

    @Test("Threads that change a value under a lock lose no change and see each other's")
    func excludes() async {
        let log = Log()
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask { for step in 0..<500 { log.all.withLock { $0.append(worker * 500 + step) } } }
            }
        }
        let all = log.all.withLock { $0 }
        #expect(all.sorted() == Array(0..<2_000))
    }

    @Test("What the body throws comes out, and the lock is free again")
    func throwsThrough() {
        struct Failure: Error {}
        let lock = Lock(1)
        #expect(throws: Failure.self) {
            try lock.withLock { value throws(Failure) in
                value += 1
                throw Failure()
            }
        }
        #expect(lock.withLock { $0 } == 2)
    }
}
