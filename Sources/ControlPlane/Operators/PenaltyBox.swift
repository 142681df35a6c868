internal import Host
internal import Pipeline

/// Answers to wrong credentials, held back for a while: whoever guesses waits, and nobody else does.
///
/// A guess needs a connection for all of that time, and connections are bounded; over `waitingMax` the answer comes at once
/// and is 429. Right credentials never pass through here.
final class PenaltyBox {
    static let delay = Nanoseconds.seconds(1)
    static let waitingMax = 128

    private let loop: EventLoop
    private var waiting: [(due: Instant, reply: ServiceReply, response: ServiceResponse)] = []
    private var wakeup: Wakeup?

    init(on loop: EventLoop) {
        self.loop = loop
        wakeup = Wakeup(on: loop) { [unowned self] in release() }
    }

    func answer(_ response: ServiceResponse, _ reply: ServiceReply) {
        guard waiting.count < Self.waitingMax else {
            var tooMany = ServiceResponse.error(429, "too many wrong credentials; try again in a while")
            tooMany.headers.append(("retry-after", "10"))
            return reply.respond(tooMany)
        }
        waiting.append((loop.now + Self.delay, reply, response))
        if waiting.count == 1 { wakeup?.set(waiting[0].due) }
    }

    func close() {
        wakeup?.cancel()
        waiting = []
    }

    private func release() {
        let now = loop.now
        let ready = waiting.prefix { $0.due <= now }
        waiting.removeFirst(ready.count)
        if let next = waiting.first { wakeup?.set(next.due) }
        for entry in ready { entry.reply.respond(entry.response) }
    }
}
