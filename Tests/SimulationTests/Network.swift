import Pipeline

/// One push stream between a sidecar and the control plane: bytes in order, late, in pieces, until it is cut. A cut is not
/// felt on both sides at once.
final class Stream {
    let node: Int
    let number: Int
    /// Of the hello that came over it.
    var session: UInt64?
    /// What that hello registered.
    var registration: LeaseTable.Registration?
    var isOpenAtNode = true
    var isOpenAtPlane = true
    /// When the control plane's end learns of a cut; until then it takes the stream for open.
    var planeFeelsCutAt: Int?
    /// When the control plane last heard from it, in its uptime.
    var heard: Instant

    private var toPlane: [(bytes: [UInt8], tick: Int)] = []
    private var toNode: [(bytes: [UInt8], tick: Int)] = []
    private var planeReader = PushFrame.Reader(bytesMax: PushLimits.frameFromSidecarBytesMax)
    private var nodeReader = PushFrame.Reader(bytesMax: PushLimits.frameBytesMax)

    init(node: Int, number: Int, heard: Instant) {
        self.node = node
        self.number = number
        self.heard = heard
    }

    func sendToPlane(_ message: PushMessage, session: UInt64, tick: Int) {
        guard let bytes = try? PushFrame.encode(message, session: session) else { return }
        toPlane.append((bytes, max(tick, toPlane.last?.tick ?? 0)))
    }

    func sendToNode(_ message: PushMessage, session: UInt64, tick: Int) {
        guard isOpenAtNode, let bytes = try? PushFrame.encode(message, session: session) else { return }
        toNode.append((bytes, max(tick, toNode.last?.tick ?? 0)))
    }

    /// Of what was on its way up, some may still be in the control plane's buffers.
    ///
    /// - Returns: what had come down and was not read yet; it may turn up in the sidecar when a later stream is open.
    func cut(keepingUp count: Int, planeFeelsItAt tick: Int) -> [(message: PushMessage, session: UInt64)] {
        isOpenAtNode = false
        let unread = (try? receiveAtNode(tick: .max, tearAt: nil)) ?? []
        toPlane = Array(toPlane.prefix(count))
        planeFeelsCutAt = tick
        return unread
    }

    func receiveAtPlane(tick: Int) throws(PushFrame.Failure) -> [(message: PushMessage, session: UInt64)] {
        let due = toPlane.prefix { $0.tick <= tick }
        toPlane.removeFirst(due.count)
        for (bytes, _) in due { planeReader.append(bytes) }
        var messages: [(message: PushMessage, session: UInt64)] = []
        while let next = try planeReader.next() { messages.append(next) }
        return messages
    }

    /// - Parameter tearAt: Bytes of the last frame due that come now; its rest comes with the next tick.
    func receiveAtNode(tick: Int, tearAt: Int?) throws(PushFrame.Failure) -> [(message: PushMessage, session: UInt64)] {
        let due = toNode.prefix { $0.tick <= tick }
        toNode.removeFirst(due.count)
        for (index, item) in due.enumerated() {
            if let tearAt, index == due.count - 1, tearAt < item.bytes.count {
                nodeReader.append(item.bytes.prefix(tearAt))
                toNode.insert((Array(item.bytes.dropFirst(tearAt)), tick + 1), at: 0)
            } else {
                nodeReader.append(item.bytes)
            }
        }
        var messages: [(message: PushMessage, session: UInt64)] = []
        while let next = try nodeReader.next() { messages.append(next) }
        return messages
    }
}

/// A request over a connection of its own: to join, to renew, to hand in a batch.
struct Call {
    enum Body {
        case join(JoinTokenText)
        case renew(expires: Int64)
        case batch([UInt8])
    }

    let number: Int
    let node: Int
    let boot: Int
    let body: Body
    let tick: Int
}

struct Reply {
    enum Body {
        case certificate(life: Int64, notAfter: Int64)
        case refused(String)
        case counted(sequence: UInt64)
    }

    let node: Int
    let boot: Int
    let body: Body
    let tick: Int
}

/// As an operator hands it over.
typealias JoinTokenText = String
