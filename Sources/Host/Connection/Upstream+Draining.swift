internal import Pipeline

/// The rest of an answer that a stage turned down at its head: a short one is read and dropped, so that the connection serves again.
extension Upstream {
    /// False if the rest of the answer is known to be more than is worth reading.
    func startDraining(_ framing: BodyFraming) -> Bool {
        if case .length(let count) = framing, count > HostLimits.drainBytesMax { return false }
        u.pointee.drainLeft = HostLimits.drainBytesMax
        u.pointee.input.unpin(&u.pointee.worker.w.pointee.buffers)
        closeUnlessUsed(within: HostLimits.drainTime)
        return true
    }

    /// Drops a piece of an answer that nobody wants; false if nothing more can be done now.
    func drain(mayRead: Bool) -> Bool {
        var none = ResponseHead()
        switch u.pointee.machine.receive(u.pointee.input.unread, into: &none) {
        case .needMore(let consumed):
            guard spend(consumed), mayRead, u.pointee.canRead else { return false }
            return readMore()
        case .bodyData(let offset, let count): return spend(offset + count)
        case .trailer(let trailer): return spend(trailer.byteCount)
        case .bodyEnd(let consumed, let isReusable):
            u.pointee.input.drop(consumed)
            u.pointee.drainLeft = -1
            u.pointee.isClosing = !isReusable
            release()
            return u.pointee.state == .ready
        case .interim, .head, .switched, .reject:
            close()
            return false
        }
    }

    private func spend(_ count: Int) -> Bool {
        u.pointee.input.drop(count)
        u.pointee.drainLeft -= count
        guard u.pointee.drainLeft < 0 else { return true }
        close()
        return false
    }
}
