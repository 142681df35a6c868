package import Pipeline

/// One timer with a closure, for what happens now and then: control, admin, tests. Not the data path.
///
/// Lives on its loop; it ends with its owner.
package final class Wakeup {
    private let loop: EventLoop
    private let body: () -> Void
    private var timer = Timer.none

    package init(on loop: EventLoop, _ body: @escaping () -> Void) {
        self.loop = loop
        self.body = body
    }

    /// Calls the closure once at `deadline`, in place of whatever was set before; `.distantFuture` never.
    package func set(_ deadline: Instant) {
        loop.cancel(timer)
        timer = .none
        guard deadline < .distantFuture else { return }
        timer = loop.arm(
            at: deadline,
            { context, _ in
                let wakeup = Unmanaged<Wakeup>.fromOpaque(context).takeUnretainedValue()
                wakeup.timer = .none
                wakeup.body()
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    package func cancel() { set(.distantFuture) }

    deinit { loop.cancel(timer) }
}
