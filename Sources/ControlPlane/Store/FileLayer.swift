/// All that the store asks of a file system: one directory of flat names.
///
/// `POSIXFiles` is the real one. Tests run the store on one that loses unsynced pages, tears tails and fails calls, which
/// is the only way to meet every crash point on purpose.
package protocol FileLayer: AnyObject {
    /// Makes the directory if need be and takes it for this process alone; held until `unlock`.
    func lock() throws(FileFailure)
    func unlock()

    /// Names of the files in the directory, in any order.
    func names() throws(FileFailure) -> [String]

    /// A handle for reading and writing; `creating` makes the file if it is missing and empties it if it is not.
    func open(_ name: String, creating: Bool) throws(FileFailure) -> Int32
    func close(_ handle: Int32)

    /// The whole content.
    func read(_ handle: Int32) throws(FileFailure) -> [UInt8]
    /// Writes a prefix of `bytes` at `offset` and returns its length, which may be short, but never 0.
    func write(_ bytes: ArraySlice<UInt8>, at offset: Int, to handle: Int32) throws(FileFailure) -> Int
    func truncate(_ handle: Int32, to size: Int) throws(FileFailure)
    /// When it returns, the content outlives a loss of power.
    func sync(_ handle: Int32) throws(FileFailure)

    func rename(_ name: String, to newName: String) throws(FileFailure)
    func remove(_ name: String) throws(FileFailure)
    /// When it returns, names made, renamed and removed outlive a loss of power.
    func syncDirectory() throws(FileFailure)

    /// Bytes that may still be written before the disk is full.
    func freeBytes() throws(FileFailure) -> Int
    /// The directory, for messages.
    var place: String { get }
}

extension FileLayer {
    /// Writes all of `bytes`, however short the single writes are.
    func writeAll(_ bytes: [UInt8], at offset: Int, to handle: Int32) throws(FileFailure) {
        var written = 0
        while written < bytes.count {
            let count = try write(bytes[written...], at: offset + written, to: handle)
            precondition(count > 0 && count <= bytes.count - written)
            written += count
        }
    }
}

/// A call to the file system that failed.
package struct FileFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Call: String, Sendable { case lock, list, open, read, write, truncate, sync, rename, remove, syncDirectory, freeBytes }

    package let call: Call
    package let path: String
    package let errno: Int32
    /// What `errno` means, or a better sentence where there is one.
    package let reason: String

    package init(_ call: Call, _ path: String, errno: Int32, reason: String) {
        self.call = call
        self.path = path
        self.errno = errno
        self.reason = reason
    }

    package var description: String { "\(path): \(call.rawValue) failed: \(reason)" }
}
