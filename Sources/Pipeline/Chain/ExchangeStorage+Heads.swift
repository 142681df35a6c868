/// What follows from an exchange's storage, read where it stands: a property of the storage itself would copy all of it first,
/// 960 bytes for one answer.
extension UnsafeMutablePointer where Pointee == ExchangeStorage {
    /// The canonical path with all edits, without the query.
    package var pathNow: Bytes {
        guard unsafe !pointee.requestEdits.isEmpty, let target = unsafe pointee.requestEdits.last(.path) else {
            return unsafe pointee.request.path
        }
        var end = 0
        while end < target.count, target[end] != UInt8(ascii: "?") { end &+= 1 }
        return unsafe Bytes(target.base, count: end)
    }

    package var authorityNow: Bytes {
        guard unsafe !pointee.requestEdits.isEmpty else { return unsafe pointee.request.authority }
        return unsafe pointee.requestEdits.last(.authority) ?? pointee.request.authority
    }

    package var canRetry: Bool {
        guard unsafe pointee.state != .responding, unsafe pointee.state != .tunnelling, unsafe !pointee.replay.isLost else { return false }
        // A body that nobody kept can be sent again only if none of it went out.
        return unsafe pointee.requestBytes == 0 || pointee.replay.limit > 0
    }

    /// The attempt asks for another protocol: the caller did, and no filter took the wish away.
    package var offersUpgrade: Bool {
        guard unsafe pointee.request.asksUpgrade else { return false }
        if unsafe pointee.requestEdits.isEmpty { return true }
        if case .untouched = unsafe pointee.requestEdits.answer(for: Upgrade.header) { return true }
        return false
    }
}

extension ExchangeStorage {
    /// Moves the heads out of the receive buffers into `memory`, so that a tunnel, which may idle for hours, holds no buffer meanwhile.
    ///
    /// `received` and `answered` are all the bytes that views of the two heads may point to; `memory` has room for both.
    package mutating func moveHeads(request received: Bytes, response answered: Bytes, to memory: UnsafeMutableRawPointer) {
        unsafe moveRequest(received, to: memory)
        unsafe moveResponse(answered, to: memory + received.count)
    }

    /// As ``moveHeads(request:response:to:)``.
    package mutating func moveRequest(_ received: Bytes, to memory: UnsafeMutableRawPointer) {
        let move = unsafe HeadMove(received, to: memory)
        unsafe request.methodText = move.moved(request.methodText)
        unsafe request.target = move.moved(request.target)
        unsafe request.path = move.moved(request.path)
        unsafe request.query = move.moved(request.query)
        unsafe request.authority = move.moved(request.authority)
        unsafe request.headers.base = move.moved(request.headers.base)
    }

    /// As ``moveHeads(request:response:to:)``.
    package mutating func moveResponse(_ received: Bytes, to memory: UnsafeMutableRawPointer) {
        let move = unsafe HeadMove(received, to: memory)
        unsafe response.reason = move.moved(response.reason)
        unsafe response.headers.base = move.moved(response.headers.base)
    }
}

/// A copy of bytes, and what views into the original become: views into the copy. Others stay.
@safe
private struct HeadMove {
    private let original: Bytes
    private let copy: UnsafePointer<UInt8>

    init(_ original: Bytes, to memory: UnsafeMutableRawPointer) {
        self.original = original
        if let base = unsafe original.base { unsafe memory.copyMemory(from: base, byteCount: original.count) }
        unsafe copy = UnsafePointer(memory.assumingMemoryBound(to: UInt8.self))
    }

    func moved(_ view: Bytes) -> Bytes { unsafe Bytes(moved(view.base), count: view.count) }

    func moved(_ pointer: UnsafePointer<UInt8>?) -> UnsafePointer<UInt8>? {
        guard let pointer = unsafe pointer, let start = unsafe original.base, unsafe pointer >= start,
            unsafe pointer < start + original.count
        else { return unsafe pointer }
        return unsafe copy + (pointer - start)
    }
}
