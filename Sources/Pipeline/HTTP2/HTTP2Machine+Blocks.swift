/// Header blocks: on which streams they may come, and what they say.
extension HTTP2Machine {
    /// A block begins; what is wrong with the connection if none may.
    mutating func beginBlock(_ number: UInt32, endsStream: Bool) -> HTTP2ErrorCode? {
        floods.beginsBlock()
        collected.free()
        blockStream = number
        blockEndsStream = endsStream
        let place = streams.place(of: number)
        if place >= 0 {
            let stream = unsafe streams[place].pointee
            if stream.peerEnded {
                blockKind = .dropped(.streamClosed)
            } else if !stream.hasHead {
                blockKind = .head
            } else {
                // §8.1: what follows a body ends the message.
                blockKind = endsStream ? .trailers : .dropped(.protocolError)
            }
            return nil
        }
        // §5.1.1: streams of the peer's are odd and grow; a server opens none without push.
        guard isServer ? number & 1 == 1 : !isIdle(number) && number & 1 == 1 else { return .protocolError }
        if isServer, number > lastSeenStream {
            lastSeenStream = number
            blockKind = isLeaving ? .dropped(nil) : .opening
            return nil
        }
        switch closed.how(number) {
        case .byUs: blockKind = .dropped(nil)
        case .ended, .byPeer: return .streamClosed
        case nil: return .protocolError
        }
        return nil
    }

    mutating func takeFragment(
        _ fragment: Frame.Fragment, _ input: Bytes, _ consumed: Int, at now: Instant, _ control: inout OutputSpace
    ) -> HTTP2Event {
        let bytes = input.slice(fragment.offset, fragment.offset &+ fragment.count)
        if !fragment.isLast || collected.count > 0 {
            guard collected.append(bytes) else { return fail(.enhanceYourCalm, &control) }
        }
        guard fragment.isLast else { return .handled(consumed: consumed) }
        block = collected.count > 0 ? collected.bytes : bytes
        if case .opening = blockKind, let refusal = accept(blockStream) { return drop(refusal, consumed, at: now, &control) }
        let place = streams.place(of: blockStream)
        switch blockKind {
        case .opening where place >= 0, .head where place >= 0: return .head(place: place, consumed: consumed)
        case .trailers where place >= 0: return .trailers(place: place, consumed: consumed)
        case .none, .opening, .head, .trailers: return drop(nil, consumed, at: now, &control)
        case .dropped(let code): return drop(code, consumed, at: now, &control)
        }
    }

    private mutating func drop(_ code: HTTP2ErrorCode?, _ consumed: Int, at now: Instant, _ control: inout OutputSpace) -> HTTP2Event {
        guard discard() else { return fail(.compressionError, &control) }
        guard let code else { return .handled(consumed: consumed) }
        if code == .refusedStream {
            // The peer has not heard of our bound, or does not care; it has cost a block.
            guard floods.admits(.reset, at: now) else { return fail(.enhanceYourCalm, &control) }
            _ = FrameWriter.reset(stream: blockStream, code, into: &control)
            closed.insert(blockStream, .byUs)
            return .handled(consumed: consumed)
        }
        return refuse(blockStream, code, consumed: consumed, at: now, &control)
    }

    // MARK: Taking

    /// Whether nothing comes behind the head of the last event.
    package var headEndsStream: Bool { blockEndsStream }

    package enum Taken: Equatable, Sendable {
        /// Its text, to be copied before the next call of any machine of the loop.
        case message(Bytes)
        /// A response that is not the last one to this request.
        case interim(Bytes)
        /// A request to be answered with the fault's status.
        case refused(HTTP1Fault)
        /// The stream is over, its place free; the peer has been told.
        case malformed
        /// As ``HTTP2Event/failed(_:)``.
        case failed(HTTP2ErrorCode)

        package static func == (a: Taken, b: Taken) -> Bool {
            switch (a, b) {
            case (.message(let a), .message(let b)), (.interim(let a), .interim(let b)): a.isSame(as: b)
            case (.refused(let a), .refused(let b)): a == b
            case (.malformed, .malformed): true
            case (.failed(let a), .failed(let b)): a == b
            default: false
            }
        }
    }

    /// The request whose head came last. `targetScratch` as in `RequestHeadParser`.
    package mutating func takeRequest(
        targetScratch: UnsafeMutableBufferPointer<UInt8>, into head: inout RequestHead, at now: Instant, _ control: inout OutputSpace
    ) -> Taken {
        var fields = RequestFieldsReader()
        var refusal: HTTP2Refusal?
        var text = unsafe OutputSpace(unsafe scratch.text)
        unsafe head.headers.count = 0
        let isDecoded = decode(into: &text) { field, isSensitive, text in
            if refusal == nil { refusal = unsafe fields.take(field, isSensitive: isSensitive, in: text, into: &head.headers) }
        }
        guard isDecoded else { return failed(.compressionError, &control) }
        if refusal == nil, decoder.isOverLimit { refusal = .fault(.headTooLarge) }
        if refusal == nil { refusal = unsafe fields.finish(&text, endsStream: blockEndsStream, takesWebSockets: takesWebSockets, scratch: targetScratch, into: &head) }
        let place = streams.place(of: blockStream)
        switch refusal {
        case .malformed: return malformed(at: now, &control)
        case .fault(let fault):
            unsafe streams[place].pointee.hasHead = true
            if blockEndsStream { unsafe streams[place].pointee.peerEnded = true }
            return .refused(fault)
        case nil: break
        }
        unsafe begin(place, head.framing)
        return .message(text.bytes)
    }

    /// The response whose head came last.
    package mutating func takeResponse(
        isToHead: Bool, into head: inout ResponseHead, at now: Instant, _ control: inout OutputSpace
    ) -> Taken {
        var fields = ResponseFieldsReader()
        var isGood = true
        var text = unsafe OutputSpace(unsafe scratch.text)
        unsafe head.headers.count = 0
        let isDecoded = decode(into: &text) { field, isSensitive, text in
            if isGood { isGood = unsafe fields.take(field, isSensitive: isSensitive, in: text, into: &head.headers) }
        }
        guard isDecoded else { return failed(.compressionError, &control) }
        guard isGood, !decoder.isOverLimit,
            unsafe fields.finish(text.bytes, endsStream: blockEndsStream, isToHead: isToHead, into: &head)
        else { return malformed(at: now, &control) }
        let place = streams.place(of: blockStream)
        if unsafe head.status < 200 {
            unsafe streams[place].pointee.interimCount &+= 1
            guard unsafe streams[place].pointee.interimCount <= HTTP1Limits.interimResponsesMax else { return malformed(at: now, &control) }
            return .interim(text.bytes)
        }
        // Without a body not a byte may come.
        unsafe begin(place, head.framing == .none ? .length(0) : head.framing)
        return .message(text.bytes)
    }

    /// The trailers that came last: the lines of `table`, whose storage is the scratch's.
    package mutating func takeTrailers(
        into table: inout HeaderTable, sensitive: inout FieldMask, at now: Instant, _ control: inout OutputSpace
    ) -> Taken {
        var fields = TrailerFieldsReader()
        var refusal: HTTP2Refusal?
        var text = unsafe OutputSpace(unsafe scratch.text)
        unsafe table = HeaderTable(fields: scratch.fields, capacity: HTTP1Limits.fieldsMax)
        let isDecoded = decode(into: &text) { field, isSensitive, text in
            guard refusal == nil else { return }
            let name = text.slice(Int(field.nameOffset), Int(field.nameOffset) &+ Int(field.nameCount))
            let value = text.slice(Int(field.valueOffset), Int(field.valueOffset) &+ Int(field.valueCount))
            refusal = fields.take(name, value, tag: field.tag)
            let index = unsafe Int(table.count)
            guard refusal == nil, index < HTTP1Limits.fieldsMax else { return }
            unsafe table.fields.unsafelyUnwrapped[index] = field
            unsafe table.count &+= 1
            if isSensitive { sensitive.insert(index) }
        }
        guard isDecoded else { return failed(.compressionError, &control) }
        unsafe table.base = text.bytes.base
        unsafe table.isWireFormat = true
        let place = streams.place(of: blockStream)
        guard refusal == nil, !decoder.isOverLimit, unsafe streams[place].pointee.takeEnd() == nil else { return malformed(at: now, &control) }
        return .message(text.bytes)
    }

    // MARK: Parts

    /// The peer's message begins on a stream: how much of it may come.
    private mutating func begin(_ place: Int, _ framing: BodyFraming) {
        let stream = unsafe streams[place]
        unsafe stream.pointee.hasHead = true
        if case .length(let count) = framing { unsafe stream.pointee.lengthLeft = count }
        if blockEndsStream { unsafe stream.pointee.peerEnded = true }
    }

    private mutating func malformed(at now: Instant, _ control: inout OutputSpace) -> Taken {
        if case .failed(let code) = refuse(blockStream, .protocolError, consumed: 0, at: now, &control) { return .failed(code) }
        return .malformed
    }

    private mutating func failed(_ code: HTTP2ErrorCode, _ control: inout OutputSpace) -> Taken {
        _ = fail(code, &control)
        return .failed(code)
    }

    /// Decodes the block to its end; false: it cannot be, and the tables of both ends differ from now on.
    @inline(__always)
    private mutating func decode(into text: inout OutputSpace, _ take: (HeaderField, Bool, Bytes) -> Void) -> Bool {
        defer {
            block = .empty
            blockKind = .none
            collected.free()
        }
        decoder.beginBlock()
        var position = 0
        while true {
            switch decoder.next(in: block, at: &position, isLast: true, into: &text) {
            case .field(let field, let isSensitive): take(field, isSensitive, text.bytes)
            case .end: return true
            case .needMore, .reject: return false
            }
        }
    }

    private mutating func discard() -> Bool {
        var text = unsafe OutputSpace(unsafe scratch.text)
        return decode(into: &text) { _, _, _ in }
    }
}
