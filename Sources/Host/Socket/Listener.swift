internal import CPlatform
internal import Glibc
internal import Pipeline

/// A listening socket on one loop: accepts in bounded portions and survives running out of descriptors.
///
/// Out of descriptors (EMFILE, ENFILE), it gives up a descriptor held in reserve, accepts with it, closes the newcomer at once
/// and counts it: callers get a clean close instead of a hang, the backlog drains, and the loop never spins on a connection
/// it cannot take. `onExhausted` lets the owner shed idle connections.
package final class Listener {
    package struct Options: Sendable {
        /// Several listeners, one per loop, on one port.
        package var sharesPort = false
        package var backlog: Int32 = 1024
        /// Permissions of a unix socket's file.
        package var mode: UInt32 = 0o600
        package var connection = Socket.Options()

        package init() {}
    }

    package struct Counts: BitwiseCopyable, Sendable {
        package var accepted: UInt64 = 0
        /// Closed at once for want of descriptors.
        package var shed: UInt64 = 0
    }

    /// Takes over the descriptor. The peer's address is meaningless for unix sockets.
    package typealias OnAccept = (_ descriptor: Int32, _ peer: SocketAddress) -> Void

    /// Connections accepted per turn before others get theirs.
    private static let acceptsPerTurn = 64
    /// How long to wait when not even the reserve helps (no memory for sockets).
    private static let pause = Nanoseconds.milliseconds(100)

    /// As bound: with the port the kernel chose.
    package let address: SocketAddress
    package private(set) var counts = Counts()
    /// Called when a connection had to be shed.
    package var onExhausted: (() -> Void)?

    private let loop: EventLoop
    private let options: Options
    private let onAccept: OnAccept
    private var descriptor: Int32
    private var reserve: Int32 = -1
    private var registration = EventLoop.Registration.none
    private var retry = Timer.none

    /// Listens from the next turn on, until `close`. Throws what bind and listen say; the error names the address.
    package init(
        on loop: EventLoop, at wanted: SocketAddress, _ options: Options = Options(), onAccept: @escaping OnAccept
    ) throws(SystemError) {
        self.loop = loop
        self.options = options
        self.onAccept = onAccept
        descriptor = try Self.open(wanted, options)
        address = Socket.localAddress(descriptor) ?? wanted
        reserve = Self.openReserve()
        let context = Unmanaged.passUnretained(self).toOpaque()
        do {
            registration = try loop.register(
                descriptor, { context, _ in Unmanaged<Listener>.fromOpaque(context).takeUnretainedValue().accept() }, context)
        } catch {
            Descriptor.close(descriptor)
            Descriptor.close(reserve)
            throw error
        }
    }

    /// Stops listening at once; connections accepted so far are their owners'. A unix socket's file goes too.
    package func close() {
        guard descriptor >= 0 else { return }
        loop.deregister(registration)
        loop.cancel(retry)
        Descriptor.close(descriptor)
        Descriptor.close(reserve)
        descriptor = -1
        reserve = -1
        if address.family == .unix { unlink(address.host) }
    }

    deinit { close() }

    // MARK: Opening

    private static func open(_ address: SocketAddress, _ options: Options) throws(SystemError) -> Int32 {
        if address.family == .unix { try removeStale(address) }
        let descriptor = withUnsafePointer(to: address.raw) {
            weft_listen($0, options.backlog, options.sharesPort ? 1 : 0, options.mode)
        }
        guard descriptor >= 0 else { throw SystemError(descriptor, "listen on \(address)") }
        // Connections inherit them: six system calls less for each.
        Socket.configure(descriptor, address.family, options.connection)
        return descriptor
    }

    /// A socket file nobody listens on any more is left by a process that died; one that answers is somebody's.
    private static func removeStale(_ address: SocketAddress) throws(SystemError) {
        var status = stat()
        guard lstat(address.host, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw SystemError(EEXIST, "listen on \(address): not a socket") }
        switch Socket.connect(to: address) {
        case .connected(let descriptor), .inProgress(let descriptor):
            Descriptor.close(descriptor)
            throw SystemError(EADDRINUSE, "listen on \(address)")
        case .failed(errno: ECONNREFUSED):
            unlink(address.host)
        case .failed(let code):
            throw SystemError(code == EAGAIN ? EADDRINUSE : code, "listen on \(address)")
        }
    }

    private static func openReserve() -> Int32 { Glibc.open("/dev/null", O_RDONLY | O_CLOEXEC) }

    // MARK: Accepting

    private func accept() {
        var left = Self.acceptsPerTurn
        while left > 0 {
            guard descriptor >= 0 else { return }  // the owner closed us from onAccept
            left -= 1
            var peer = weft_address()
            let accepted = weft_accept(descriptor, &peer)
            if accepted >= 0 {
                counts.accepted += 1
                let address = SocketAddress(raw: peer)
                onAccept(accepted, address)
                continue
            }
            switch 0 - accepted {
            case EAGAIN: return
            case EMFILE, ENFILE:
                // The kernel says so even when nobody waits: only the reserve finds out.
                switch shed() {
                case .shed: continue
                case .nobodyWaits: return
                case .noReserve: return rest()
                }
            case ENOBUFS, ENOMEM: return rest()
            default: continue  // ECONNABORTED and the peer's other early ends: the next one, please (accept(2))
            }
        }
        loop.runAgain(registration, .readable)
    }

    private enum Shedding { case shed, nobodyWaits, noReserve }

    /// Spends the reserve on one newcomer.
    private func shed() -> Shedding {
        guard reserve >= 0 else {
            reserve = Self.openReserve()
            return .noReserve
        }
        Descriptor.close(reserve)
        let accepted = weft_accept(descriptor, nil)
        Descriptor.close(accepted)
        reserve = Self.openReserve()
        guard accepted >= 0 else { return 0 - accepted == EAGAIN ? .nobodyWaits : .noReserve }
        counts.shed += 1
        onExhausted?()
        return .shed
    }

    private func rest() {
        loop.cancel(retry)
        retry = loop.arm(
            at: loop.now + Self.pause,
            { context, _ in Unmanaged<Listener>.fromOpaque(context).takeUnretainedValue().accept() },
            Unmanaged.passUnretained(self).toOpaque())
    }
}
