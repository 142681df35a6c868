package import ControlPlane
package import Pipeline

/// A directory in memory that behaves as badly as a disk may: what was not synced survives a crash in any subset of its
/// pages, torn at any byte, in any order; names not synced likewise; calls fail or write short on demand.
package final class FaultyFiles: FileLayer {
    fileprivate enum Operation {
        case write(offset: Int, bytes: [UInt8])
        case truncate(size: Int)
    }

    fileprivate final class File {
        fileprivate var durable: [UInt8] = []
        fileprivate var current: [UInt8] = []
        fileprivate var unsynced: [Operation] = []

        init(_ bytes: [UInt8] = []) {
            durable = bytes
            current = bytes
        }
    }

    private enum NameChange {
        case set(String, File)
        case move(from: String, to: String, File)
        case remove(String)
    }

    package let place = "disk"
    private var random: Random
    private var current: [String: File] = [:]
    private var durableNames: [String: File] = [:]
    private var unsyncedNames: [NameChange] = []
    private var handles: [Int32: File] = [:]
    private var nextHandle: Int32 = 3
    private var isLocked = false

    /// The process dies at this many calls from now.
    package var callsUntilCrash: Int?
    package private(set) var isCrashed = false
    /// The next call of this kind fails so.
    package var failNext: (call: FileFailure.Call, errno: Int32)?
    private var failingWrite: Int?
    package var writesShort = false
    package var free = Int.max
    package private(set) var calls: [FileFailure.Call: Int] = [:]

    package init(seed: UInt64) { random = Random(seed: seed) }

    /// A directory that holds these files, all durable.
    package init(_ content: [String: [UInt8]]) {
        random = Random(seed: 0)
        durableNames = content.mapValues { File($0) }
        current = durableNames
    }

    /// The disk is full from the given write on, counting from 1, until this is called again.
    package func failWrite(number: Int) { failingWrite = calls[.write, default: 0] + number }

    /// What a process that looks now would read.
    package var content: [String: [UInt8]] { current.mapValues(\.current) }

    /// The process and the power are gone; what a new process finds.
    package func crash() -> FaultyFiles {
        var kept = durableNames
        let keep = [0, 30, 80, 100].randomElement(using: &random)!
        for change in unsyncedNames where chance(keep) {
            switch change {
            case .set(let name, let file): kept[name] = file
            case .move(let from, let to, let file):
                kept[from] = nil
                kept[to] = file
            case .remove(let name): kept[name] = nil
            }
        }
        // Sorted, so that a seed replays exactly.
        var content: [String: [UInt8]] = [:]
        for (name, file) in kept.sorted(by: { $0.key < $1.key }) { content[name] = survivor(of: file, keep: keep) }
        let after = FaultyFiles(content)
        after.random = random
        return after
    }

    private func survivor(of file: File, keep: Int) -> [UInt8] {
        var bytes = file.durable
        let page = [1, 16, 64, 512].randomElement(using: &random)!
        for operation in file.unsynced {
            switch operation {
            case .truncate(let size):
                if chance(keep) { resize(&bytes, to: size) }
            case .write(let offset, let data):
                // The size may be written before the data: zeros, or what lay there before.
                if chance(30), bytes.count < offset + data.count {
                    let filler: UInt8 = chance(70) ? 0 : random.next(UInt8.self)
                    bytes += [UInt8](repeating: filler, count: offset + data.count - bytes.count)
                }
                var start = 0
                while start < data.count {
                    var end = min(start + page, data.count)
                    let next = end
                    if chance(keep) {
                        if chance(10) { end = Int.random(in: start...end, using: &random) }
                        put(data[start..<end], at: offset + start, into: &bytes)
                    }
                    start = next
                }
            }
        }
        return bytes
    }

    private func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    private func resize(_ bytes: inout [UInt8], to size: Int) {
        if bytes.count > size { bytes.removeLast(bytes.count - size) }
        if bytes.count < size { bytes += [UInt8](repeating: 0, count: size - bytes.count) }
    }

    private func put(_ data: ArraySlice<UInt8>, at offset: Int, into bytes: inout [UInt8]) {
        if bytes.count < offset + data.count { resize(&bytes, to: offset + data.count) }
        bytes.replaceSubrange(offset..<offset + data.count, with: data)
    }

    /// Every call goes through here: it may be the one the process dies at, before or after its effect.
    private func perform<T>(_ call: FileFailure.Call, _ effect: () throws(FileFailure) -> T) throws(FileFailure) -> T {
        let dead = FileFailure(call, place, errno: 5, reason: "crashed")
        if isCrashed { throw dead }
        calls[call, default: 0] += 1
        if let left = callsUntilCrash {
            callsUntilCrash = left - 1
            if left <= 0 {
                isCrashed = true
                if chance(50) { _ = try effect() }
                throw dead
            }
        }
        if call == .write, let failingWrite, calls[.write]! >= failingWrite {
            throw FileFailure(call, place, errno: 28, reason: "no space left")
        }
        if let fail = failNext, fail.call == call {
            failNext = nil
            throw FileFailure(call, place, errno: fail.errno, reason: "injected")
        }
        return try effect()
    }

    private func file(_ handle: Int32) -> File { handles[handle]! }

    // === FileLayer ===

    package func lock() throws(FileFailure) {
        if isLocked { throw FileFailure(.lock, place, errno: 11, reason: "in use") }
        isLocked = true
    }

    package func unlock() { isLocked = false }

    package func names() throws(FileFailure) -> [String] {
        try perform(.list) { () throws(FileFailure) in current.keys.sorted().shuffled(using: &random) }
    }

    package func open(_ name: String, creating: Bool) throws(FileFailure) -> Int32 {
        try perform(.open) { () throws(FileFailure) in
            if let file = current[name] {
                if creating {
                    file.current = []
                    file.unsynced.append(.truncate(size: 0))
                }
                handles[nextHandle] = file
            } else {
                guard creating else { throw FileFailure(.open, name, errno: 2, reason: "missing") }
                let file = File()
                current[name] = file
                unsyncedNames.append(.set(name, file))
                handles[nextHandle] = file
            }
            nextHandle += 1
            return nextHandle - 1
        }
    }

    package func close(_ handle: Int32) { handles[handle] = nil }

    package func read(_ handle: Int32) throws(FileFailure) -> [UInt8] {
        try perform(.read) { () throws(FileFailure) in file(handle).current }
    }

    package func write(_ bytes: ArraySlice<UInt8>, at offset: Int, to handle: Int32) throws(FileFailure) -> Int {
        try perform(.write) { () throws(FileFailure) in
            let count = writesShort ? Int.random(in: 1...bytes.count, using: &random) : bytes.count
            let file = file(handle)
            put(bytes.prefix(count), at: offset, into: &file.current)
            file.unsynced.append(.write(offset: offset, bytes: Array(bytes.prefix(count))))
            return count
        }
    }

    package func truncate(_ handle: Int32, to size: Int) throws(FileFailure) {
        try perform(.truncate) { () throws(FileFailure) in
            let file = file(handle)
            resize(&file.current, to: size)
            file.unsynced.append(.truncate(size: size))
        }
    }

    package func sync(_ handle: Int32) throws(FileFailure) {
        let file = file(handle)
        if failNext?.call == .sync {
            // The kernel marks the pages clean and may never write them: later reads see them, a restart may not.
            file.durable = survivor(of: file, keep: 50)
            file.unsynced = []
        }
        try perform(.sync) { () throws(FileFailure) in
            file.durable = file.current
            file.unsynced = []
        }
    }

    package func rename(_ name: String, to newName: String) throws(FileFailure) {
        try perform(.rename) { () throws(FileFailure) in
            guard let file = current.removeValue(forKey: name) else { throw FileFailure(.rename, name, errno: 2, reason: "missing") }
            current[newName] = file
            unsyncedNames.append(.move(from: name, to: newName, file))
        }
    }

    package func remove(_ name: String) throws(FileFailure) {
        try perform(.remove) { () throws(FileFailure) in
            guard current.removeValue(forKey: name) != nil else { throw FileFailure(.remove, name, errno: 2, reason: "missing") }
            unsyncedNames.append(.remove(name))
        }
    }

    package func syncDirectory() throws(FileFailure) {
        try perform(.syncDirectory) { () throws(FileFailure) in
            durableNames = current
            unsyncedNames = []
        }
    }

    package func freeBytes() throws(FileFailure) -> Int { free }
}

extension Random {
    package mutating func next<T: FixedWidthInteger & UnsignedInteger>(_: T.Type) -> T { T(truncatingIfNeeded: next() >> 20) }
}
