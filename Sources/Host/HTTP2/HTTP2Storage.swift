internal import Pipeline

/// What a connection that speaks HTTP/2 has beside what every connection has, at either end.
struct HTTP2Storage {
    var machine: HTTP2Machine
    /// By place in the machine's table; those of streams that live are initialised.
    let streams: UnsafeMutablePointer<StreamStorage>
    private let memory: UnsafeMutableRawPointer
    /// Streams that have something to send, or could take more, and wait for room: first come, first served.
    var firstWaiting: UnsafeMutablePointer<StreamStorage>?
    var lastWaiting: UnsafeMutablePointer<StreamStorage>?
    /// It is the socket that has no room for them, not the peer's windows.
    var waitsForOutput = false
    /// Its answer's head waits for what comes right behind it (`ClientStream.holdsHead`).
    var heldHead: UnsafeMutablePointer<StreamStorage>?
    /// The peer has been told that the connection will end.
    var isLeaving = false

    private init(machine: HTTP2Machine, memory: UnsafeMutableRawPointer, streams: UnsafeMutablePointer<StreamStorage>) {
        self.machine = machine
        self.memory = memory
        self.streams = streams
    }

    /// One for a connection; pages that nobody needs are not touched.
    static func make(isServer: Bool, _ worker: Worker) -> UnsafeMutablePointer<HTTP2Storage> {
        let capacity = HTTP2Limits.streamsMax
        let machineBytes = HTTP2Machine.memoryBytes(streams: capacity)
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: machineBytes + capacity * MemoryLayout<StreamStorage>.stride, alignment: 16)
        let h = UnsafeMutablePointer<HTTP2Storage>.allocate(capacity: 1)
        h.initialize(
            to: HTTP2Storage(
                machine: HTTP2Machine(
                    isServer: isServer, takesWebSockets: worker.w.pointee.bounds.takesWebSocketStreams, memory: memory, streams: capacity, scratch: worker.w.pointee.fieldScratch),
                memory: memory, streams: (memory + machineBytes).bindMemory(to: StreamStorage.self, capacity: capacity)))
        return h
    }

    /// Streams that live.
    var live: Int { machine.streams.count }

    static func free(_ h: UnsafeMutablePointer<HTTP2Storage>) {
        h.pointee.machine.free()
        h.pointee.memory.deallocate()
        h.deinitialize(count: 1)
        h.deallocate()
    }
}

/// One stream of a connection. Plain data at a fixed place while the stream lives.
struct StreamStorage {
    /// The `DownstreamStorage` or `UpstreamStorage` that it is a stream of.
    let owner: UnsafeMutableRawPointer
    let place: Int
    var exchange: UnsafeMutablePointer<ExchangeStorage>?
    /// Bytes of the peer's message that nobody could take yet, at most a window; and its trailers, as `TrailerLines`.
    var inbound = IOBuffer()
    var inboundTrailers = IOBuffer()
    /// Bytes of our message for which there was no room yet, at most a piece; and its trailers.
    var outbound = IOBuffer()
    var outboundTrailers = IOBuffer()
    /// The text of a head that the exchange's arena has no room for.
    var head: UnsafeMutableRawPointer?
    /// Bytes of the answer's head.
    var headBytes = 0
    /// A piece that a filter keeps back.
    var held: UnsafeMutableRawPointer?
    /// What the runner asked for, and when a stream on which nothing moves has waited long enough.
    var deadline = Instant.distantFuture
    var progress = Instant.distantFuture
    /// The peer's message is complete, in `inbound` or gone on; ours is.
    var inboundEnded = false
    var outboundEnded = false
    /// It waits for room, in the connection's list.
    var isWaiting = false
    /// The answer's head has been delivered: its body waits until the runner takes it.
    var hasHead = false
    /// Not a byte of the answer's body goes out (HEAD).
    var omitsBody = false
    /// The caller waits with its body until it is asked to go on.
    var owesContinue = false
    /// It is a WebSocket.
    var isTunnel = false
    /// The machine knows the stream no more.
    var isGone = false
    var nextWaiting: UnsafeMutablePointer<StreamStorage>?

    init(owner: UnsafeMutableRawPointer, place: Int) {
        self.owner = owner
        self.place = place
    }

    /// Gives back what it holds.
    mutating func free(_ pool: inout BufferPool) {
        inbound.free(&pool)
        inboundTrailers.free(&pool)
        outbound.free(&pool)
        outboundTrailers.free(&pool)
        head?.deallocate()
        held?.deallocate()
    }
}

/// Trailers that wait: for each a byte that says whether it is never to be indexed, then its line as HTTP/1 writes it.
enum TrailerLines {
    static func append(_ name: Bytes, _ value: Bytes, isSensitive: Bool, to buffer: inout IOBuffer, _ pool: inout BufferPool) {
        let room = buffer.reserve(name.count + value.count + 5, &pool)
        room[0] = isSensitive ? 1 : 0
        var writer = HeadWriter(into: UnsafeMutableRawBufferPointer(rebasing: room[1...]))
        if writer.field(name, value) { buffer.filled(1 + writer.needed) }
    }

    static func forEach(_ text: Bytes, _ body: (_ name: Bytes, _ value: Bytes, _ isSensitive: Bool) -> Void) {
        var position = 0
        while position < text.count {
            let end = text.first(0x0D, from: position + 1, to: text.count)
            let colon = text.first(UInt8(ascii: ":"), from: position + 1, to: end)
            body(text.slice(position + 1, colon), text.slice(min(colon + 2, end), end), text[position] == 1)
            position = end + 2
        }
    }
}
