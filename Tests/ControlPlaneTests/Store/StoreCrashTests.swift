import ControlPlane
import ControlPlaneTesting
import Pipeline
import Testing

struct StoreCrashTests {
    @Test("Whatever call the power fails at, what was acknowledged is there after the restart and turns are whole", arguments: 0..<8)
    func crashes(part: Int) throws {
        var crashPoints = 0
        for run in 0..<100 {
            let seed = UInt64(part * 1000 + run)
            var random = Random(seed: seed)
            var files = FaultyFiles(seed: seed)
            var acknowledged: Model = [:]
            /// With the turn that was under way at the crash: it may be there as well, but only whole.
            var possible: Model = [:]
            var revision: UInt64 = 0
            for _ in 0..<6 {
                files.callsUntilCrash = Int.random(in: 0..<90, using: &random)
                files.writesShort = Bool.random(using: &random)
                do throws(StoreError) {
                    let store = try Store(files, limits: .small)
                    let found = store.model
                    #expect(found == acknowledged || found == possible, "seed \(seed)")
                    #expect(store.revision >= revision, "seed \(seed)")
                    acknowledged = found
                    while true {
                        possible = acknowledged
                        for _ in 0..<Int.random(in: 1...3, using: &random) {
                            let changes = [Change].some(using: &random)
                            possible.apply(changes)
                            try store.append(changes)
                        }
                        #expect(store.model == possible, "a turn sees its own changes")
                        let ticket = try store.commit()
                        #expect(ticket == store.revision)
                        acknowledged = possible
                        revision = ticket
                    }
                } catch {
                    guard case .file(let failure) = error, failure.reason == "crashed" else {
                        Issue.record("seed \(seed): a crash alone led to: \(error)")
                        return
                    }
                }
                crashPoints += 1
                files = files.crash()
            }
            let store = try Store(files, limits: .small)
            #expect(store.model == acknowledged || store.model == possible, "seed \(seed)")
        }
        #expect(crashPoints == 600)
    }

    /// A directory as a clean stop leaves it, with every state the log went through.
    private func history() throws -> (content: [String: [UInt8]], states: [Model], ends: [Int]) {
        let files = FaultyFiles(seed: 1)
        let store = try Store(files)
        var random = Random(seed: 7)
        var (states, ends): ([Model], [Int]) = ([[:]], [files.content["log-1"]!.count])
        for _ in 0..<6 {
            try store.append(.some(using: &random))
            try store.commit()
            states.append(store.model)
            ends.append(files.content["log-1"]!.count)
        }
        store.close()
        return (files.content, states, ends)
    }

    @Test("A log torn at any byte gives the longest run of whole commits, and can be written on")
    func tornAtEveryByte() throws {
        let (content, states, ends) = try history()
        let log = try #require(content["log-1"])
        for size in ends[0]...log.count {
            var torn = content
            torn["log-1"] = Array(log.prefix(size))
            torn["mark"] = nil
            let files = FaultyFiles(torn)
            var store = try Store(files)
            let whole = ends.lastIndex { $0 <= size }!
            #expect(store.model == states[whole], "cut at \(size)")
            try store.append([.set("a", "new", [1])])
            try store.commit()
            store.close()
            store = try Store(FaultyFiles(files.content))
            #expect(store.value("a", "new") == [1])
        }
    }

    @Test("A log that ends before what the mark knows to be durable is refused, naming file, byte and way out")
    func cutBelowMark() throws {
        let (content, _, ends) = try history()
        for size in ends[0]..<ends.last! {
            var cut = content
            cut["log-1"] = Array(content["log-1"]!.prefix(size))
            let error = try #require(throws: StoreError.self) { try Store(FaultyFiles(cut)) }
            #expect(error.description.contains("disk/log-1: damaged at byte \(ends.last { $0 <= size }!)"))
            #expect(error.description.contains("Restore the directory from a backup"))
        }
    }

    @Test("A bit flipped at any byte of log or snapshot is refused; in the mark it does no harm")
    func bitFlips() throws {
        let (content, states, _) = try history()
        for (name, bytes) in content {
            for offset in bytes.indices {
                for bit in 0..<8 {
                    var rotten = content
                    rotten[name]![offset] ^= 1 << bit
                    let store = try? Store(FaultyFiles(rotten))
                    if name == "mark" {
                        #expect(store?.model == states.last, "mark, byte \(offset)")
                    } else {
                        #expect(store == nil, "\(name), byte \(offset), bit \(bit)")
                    }
                }
            }
        }
    }

    @Test("Without the mark, a flipped bit is refused unless it could be the torn end, and never gives wrong data")
    func bitFlipsWithoutMark() throws {
        let (content, states, ends) = try history()
        let lastCommit = ends[ends.count - 2]
        for offset in content["log-1"]!.indices {
            var rotten = content
            rotten["mark"] = nil
            rotten["log-1"]![offset] ^= 0x10
            let store = try? Store(FaultyFiles(rotten))
            if offset < lastCommit {
                #expect(store == nil, "byte \(offset)")
            } else {
                #expect(store?.model == states[states.count - 2], "byte \(offset)")
            }
        }
    }

    @Test("A log or a snapshot that is gone is refused, not taken for an empty start")
    func missingFiles() throws {
        let (content, _, _) = try history()
        for name in ["log-1", "snapshot-1"] {
            var missing = content
            missing[name] = nil
            let error = try #require(throws: StoreError.self) { try Store(FaultyFiles(missing)) }
            #expect(error.description.contains("missing"), "\(name)")
        }
    }

    @Test("Noise in place of the log, the snapshot or the mark never traps")
    func noise() throws {
        let (content, states, _) = try history()
        var random = Random(seed: 3)
        for _ in 0..<500 {
            let name = content.keys.sorted().randomElement(using: &random)!
            var noisy = content
            let size = Int.random(in: 0..<400, using: &random)
            noisy[name] = (0..<size).map { _ in random.next(UInt8.self) }
            let store = try? Store(FaultyFiles(noisy))
            #expect(store == nil || store?.model == states.last)
        }
    }
}
