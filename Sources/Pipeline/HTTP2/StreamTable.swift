/// The streams of one connection (RFC 9113 §5.1), in memory the caller brings; found by number, at fixed places while they live.
///
/// A connection has few streams at a time, so their numbers lie side by side and are looked through, the newest first.
@safe
package struct StreamTable: BitwiseCopyable {
    package static func memoryBytes(capacity: Int) -> Int {
        capacity * (MemoryLayout<HTTP2Stream>.stride + MemoryLayout<UInt32>.stride + 2 * MemoryLayout<UInt16>.stride)
    }

    package let capacity: Int
    package private(set) var count = 0
    private let streams: UnsafeMutablePointer<HTTP2Stream>
    /// Of the streams that live, in no order that matters; parallel to `places`.
    private let numbers: UnsafeMutablePointer<UInt32>
    private let places: UnsafeMutablePointer<UInt16>
    /// Free places, the last of them taken first: its memory is warm.
    private let free: UnsafeMutablePointer<UInt16>

    /// `memory` has `memoryBytes(capacity:)` bytes aligned to 16; `capacity` is at most 2^16.
    package init(memory: UnsafeMutableRawPointer, capacity: Int) {
        precondition(capacity > 0 && capacity <= 1 << 16)
        self.capacity = capacity
        var next = unsafe memory
        unsafe streams = next.bindMemory(to: HTTP2Stream.self, capacity: capacity)
        unsafe next += capacity * MemoryLayout<HTTP2Stream>.stride
        unsafe numbers = next.bindMemory(to: UInt32.self, capacity: capacity)
        unsafe next += capacity * MemoryLayout<UInt32>.stride
        unsafe places = next.bindMemory(to: UInt16.self, capacity: capacity)
        unsafe next += capacity * MemoryLayout<UInt16>.stride
        unsafe free = next.bindMemory(to: UInt16.self, capacity: capacity)
        for index in 0..<capacity { unsafe free[index] = UInt16(capacity - 1 - index) }
    }

    /// Where the stream stands; -1 if it is not among the living.
    @inline(__always)
    package func place(of number: UInt32) -> Int {
        var index = count &- 1
        while index >= 0 {
            if unsafe numbers[index] == number { return unsafe Int(places[index]) }
            index &-= 1
        }
        return -1
    }

    /// The stream at a place that ``place(of:)`` or ``open(_:)`` gave. The pointer stays good until ``close(_:)``.
    @unsafe
    @inline(__always)
    package subscript(place: Int) -> UnsafeMutablePointer<HTTP2Stream> {
        assert(place >= 0 && place < capacity)
        return unsafe streams + place
    }

    /// A place for a new stream; -1 if all are taken.
    package mutating func open(_ stream: HTTP2Stream) -> Int {
        guard count < capacity else { return -1 }
        let place = unsafe free[capacity &- count &- 1]
        unsafe numbers[count] = stream.number
        unsafe places[count] = place
        unsafe (streams + Int(place)).initialize(to: stream)
        count &+= 1
        return Int(place)
    }

    /// The stream is over, its place free.
    package mutating func close(_ number: UInt32) {
        var index = count &- 1
        while index >= 0, unsafe numbers[index] != number { index &-= 1 }
        guard index >= 0 else { return }
        let place = unsafe places[index]
        count &-= 1
        unsafe numbers[index] = numbers[count]
        unsafe places[index] = places[count]
        unsafe free[capacity &- count &- 1] = place
    }

    /// The place of the `index`th living stream, for walks over all of them; walk backwards if the walk closes streams.
    package func place(at index: Int) -> Int { unsafe Int(places[index]) }

    /// A new SETTINGS_INITIAL_WINDOW_SIZE of the peer's moves the windows of all streams (§6.9.2). False: one of them over 2^31 - 1.
    package func moveSendWindows(by difference: Int) -> Bool {
        var index = 0
        while index < count {
            guard unsafe streams[Int(places[index])].send.move(by: difference) else { return false }
            index &+= 1
        }
        return true
    }
}

/// One stream: which directions are open, what may flow, and how much of the announced length has.
package struct HTTP2Stream: BitwiseCopyable, Sendable {
    package let number: UInt32
    package var send: SendWindow
    package var receive: ReceiveWindow
    /// Bytes of DATA that the announced content-length leaves; -1: none was announced.
    package var lengthLeft: Int64 = -1
    /// The peer has finished sending, and so have we: half-closed (remote), half-closed (local), both: closed.
    package var peerEnded = false
    package var weEnded = false
    /// The message's head has come: the next block is its trailers, and DATA may come.
    package var hasHead = false
    /// Responses before the last one (1xx).
    var interimCount: UInt8 = 0

    package init(number: UInt32, sendBytes: Int, receiveBytes: Int) {
        self.number = number
        send = SendWindow(bytes: sendBytes)
        receive = ReceiveWindow(size: receiveBytes)
    }

    package var isOver: Bool { peerEnded && weEnded }

    /// DATA of so many bytes came; what is wrong with it. What it takes of the windows is counted besides, padding and all.
    package mutating func takeData(_ count: Int, endsStream: Bool) -> HTTP2Fault? {
        if peerEnded { return HTTP2Fault(.streamClosed, .stream(number)) }
        guard hasHead else { return HTTP2Fault(.protocolError, .stream(number)) }
        if lengthLeft >= 0 {
            lengthLeft &-= Int64(count)
            if lengthLeft < 0 { return HTTP2Fault(.protocolError, .stream(number)) }
        }
        return endsStream ? takeEnd() : nil
    }

    /// END_STREAM came, on DATA or on trailers; §8.1.1: with all of the announced length.
    package mutating func takeEnd() -> HTTP2Fault? {
        peerEnded = true
        return lengthLeft > 0 ? HTTP2Fault(.protocolError, .stream(number)) : nil
    }
}
