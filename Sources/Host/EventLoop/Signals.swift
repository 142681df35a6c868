internal import CPlatform

/// Signals as ordinary events of one loop, through a signalfd.
package final class Signals {
    private let loop: EventLoop
    private let descriptor: Int32
    private var registration = EventLoop.Registration.none
    private let onSignal: (Int32) -> Void

    /// Keeps these signals from interrupting anybody. Call in `main`, before any thread starts; SIGPIPE is ignored as well.
    package static func block(_ signals: [Int32]) {
        weft_ignore_broken_pipes()
        _ = weft_signals_block(signals, Int32(signals.count))
    }

    /// Calls `onSignal` on the loop for each of `signals`, which must be blocked. Lasts until `close`.
    package init(_ signals: [Int32], on loop: EventLoop, _ onSignal: @escaping (Int32) -> Void) throws(SystemError) {
        self.loop = loop
        self.onSignal = onSignal
        descriptor = weft_signalfd(signals, Int32(signals.count))
        guard descriptor >= 0 else { throw SystemError(descriptor, "signalfd") }
        registration = try loop.register(
            descriptor,
            { context, _ in
                let signals = Unmanaged<Signals>.fromOpaque(context).takeUnretainedValue()
                while true {
                    let signal = weft_signalfd_take(signals.descriptor)
                    guard signal > 0 else { return }
                    signals.onSignal(signal)
                }
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    package func close() {
        loop.deregister(registration)
        registration = .none
    }

    deinit {
        loop.deregister(registration)
        Descriptor.close(descriptor)
    }
}
