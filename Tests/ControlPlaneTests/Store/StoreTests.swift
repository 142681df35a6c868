import ControlPlane
import ControlPlaneTesting
import FoundationEssentials
import Pipeline
import Testing

struct StoreTests {
    @Test("CRC-32C gives the check value of RFC 3720 and can be chained")
    func crc() {
        let digits = Array("123456789".utf8)
        #expect(CRC32C.checksum(digits) == 0xE306_9283)
        #expect(CRC32C.checksum(digits[4...], seed: CRC32C.checksum(digits[..<4])) == 0xE306_9283)
    }

    @Test("A turn of many changes is one write and one sync, and a turn without changes none")
    func groupCommit() throws {
        let files = FaultyFiles(seed: 1)
        let store = try Store(files)
        let before = files.calls
        for index in 0..<50 { try store.append([.set("a", "\(index)", [1])]) }
        #expect(store.durable == 0)
        try store.commit()
        #expect(store.durable == 50)
        #expect(files.calls[.sync]! - before[.sync]! == 1)
        #expect(files.calls[.write]! - before[.write]! == 2, "the log and the mark")
        let after = files.calls
        try store.commit()
        #expect(files.calls == after)
    }

    @Test("Every entry carries the revision that wrote it, across a restart and a fold")
    func revisions() throws {
        let files = FaultyFiles(seed: 1)
        var store = try Store(files, limits: .small)
        try store.append([.set("a", "x", [1]), .set("a", "y", [2])])
        try store.append([.set("a", "y", [3])])
        #expect(store.entry("a", "x")?.revision == 1)
        #expect(store.entry("a", "y")?.revision == 2)
        try store.commit()
        for _ in 0..<30 {
            try store.append([.set("b", "filler", [UInt8](repeating: 0, count: 100))])
            try store.commit()
        }
        #expect(files.content["snapshot-1"] == nil, "the log was folded")
        store.close()
        store = try Store(FaultyFiles(files.content), limits: .small)
        #expect(store.entry("a", "y")?.revision == 2)
        #expect(store.revision == 32)
        #expect(store.entries("a").map(\.key) == ["x", "y"])
    }

    @Test("After a failed sync nothing is tried again: the store is poisoned, and a restart finds what was acknowledged", arguments: 0..<50)
    func failedSync(seed: UInt64) throws {
        let files = FaultyFiles(seed: seed)
        let store = try Store(files)
        try store.append([.set("a", "old", [1])])
        try store.commit()
        try store.append([.set("a", "new", [2])])
        files.failNext = (.sync, 5)
        #expect(throws: StoreError.self) { try store.commit() }
        #expect(store.isPoisoned)
        let syncs = files.calls[.sync]
        #expect(throws: StoreError.poisoned(because: "disk: sync failed: injected")) { try store.commit() }
        #expect(throws: StoreError.poisoned(because: "disk: sync failed: injected")) { try store.append([.delete("a", "old")]) }
        #expect(files.calls[.sync] == syncs)
        let successor = try Store(files.crash())
        #expect(successor.value("a", "old") == [1])
    }

    @Test("A full disk in the middle of a commit poisons; the restart finds what was acknowledged")
    func fullInCommit() throws {
        let files = FaultyFiles(seed: 1)
        let store = try Store(files)
        try store.append([.set("a", "old", [1])])
        try store.commit()
        try store.append([.set("a", "new", [2])])
        files.failNext = (.write, 28)
        #expect(throws: StoreError.self) { try store.commit() }
        #expect(store.isPoisoned)
        #expect(try Store(files.crash()).value("a", "old") == [1])
    }

    @Test("Below the reserve changes are refused without harm, and taken again when there is room")
    func reserve() throws {
        let files = FaultyFiles(seed: 1)
        let store = try Store(files)
        files.free = 1000
        try store.append([.set("a", "x", [1])])
        try store.commit()
        #expect(throws: StoreError.diskFull(freeBytes: 1000, reserveBytes: 64 << 20)) { try store.append([.set("a", "x", [2])]) }
        #expect(store.value("a", "x") == [1])
        files.free = .max
        try store.append([.set("a", "x", [3])])
        try store.commit()
        #expect(store.value("a", "x") == [3])
    }

    @Test("A snapshot that cannot be written is given up without harm")
    func foldWithoutRoom() throws {
        let files = FaultyFiles(seed: 1)
        let store = try Store(files, limits: .small)
        for round in 0..<60 {
            try store.append([.set("a", "x", [UInt8](repeating: UInt8(round), count: 60))])
            // The first write of a commit is the log's, the second the mark's, the third the new generation's.
            files.failWrite(number: 3)
            try store.commit()
        }
        #expect(!store.isPoisoned)
        #expect(files.content["snapshot-1"] != nil)
        #expect(try Store(files.crash()).value("a", "x")?.first == 59)
    }

    @Test("Names and values beyond the limits are refused without harm")
    func limits() throws {
        let store = try Store(FaultyFiles(seed: 1))
        #expect(throws: StoreError.self) { try store.append([.set("a", String(repeating: "k", count: 1024), [])]) }
        #expect(throws: StoreError.self) { try store.append([.set("a", "k", [UInt8](repeating: 0, count: (16 << 20) + 1))]) }
        #expect(store.revision == 0)
    }

    @Test("On a real directory: 0700, files 0600, one process at a time, and everything is there after a restart")
    func realDirectory() throws {
        let directory = FileManager.default.temporaryDirectory.path + "/weft-store-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var store: Store? = try Store(POSIXFiles(directory: directory), limits: .small)
        for index in 0..<40 {
            try store?.append([.set("a", "k\(index % 7)", Array("value \(index)".utf8))])
            try store?.commit()
        }
        let second = try #require(throws: StoreError.self) { try Store(POSIXFiles(directory: directory)) }
        #expect(second.description.contains("another process (pid \(ProcessInfo.processInfo.processIdentifier)) is using this directory"))
        let model = store?.model
        store = nil

        let attributes = try FileManager.default.attributesOfItem(atPath: directory)
        #expect(attributes[.posixPermissions] as? Int == 0o700)
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/" + name)
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
        }
        let reopened = try Store(POSIXFiles(directory: directory))
        #expect(reopened.model == model)
        #expect(reopened.revision == 40)
    }
}
