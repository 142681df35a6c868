/// Bytes that somebody else keeps alive: a view as two words, for storage that must stay plain old data.
///
/// Whoever stores a `Bytes` says how long the memory lives (a receive buffer pinned until the exchange's last outcome, an
/// interned name that lives for ever, a static table). Filters never see this type; they see views that cannot escape.
@frozen
@safe
public struct Bytes: BitwiseCopyable, @unchecked Sendable {
    public let base: UnsafePointer<UInt8>?
    public let count: Int

    @inlinable
    public init(_ base: UnsafePointer<UInt8>?, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    /// The text of a literal.
    @inlinable
    public init(_ text: StaticString) {
        unsafe self.init(text.utf8Start, count: text.utf8CodeUnitCount)
    }

    public static let empty = unsafe Bytes(nil, count: 0)

    @inlinable
    public var isEmpty: Bool { count == 0 }

    @inlinable
    public subscript(index: Int) -> UInt8 { unsafe base.unsafelyUnwrapped[index] }

    /// An owned copy; invalid UTF-8 is repaired.
    public var string: String {
        unsafe String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self)
    }
}
