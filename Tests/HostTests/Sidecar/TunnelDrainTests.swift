import Glibc
import Pipeline
import Testing

@testable import Host

@Suite("Tunnels of a sidecar that leaves", .serialized)
struct TunnelDrainTests {
    @Test("They have the time that requests have, and are cut when it is over, before the last metrics leave")
    func drains() throws {
        let world = try SidecarWorld()
        let application = RawServer(Echo.serve)
        defer { application.stop() }
        var settings = world.settings()
        settings.controlPlane = nil
        settings.application = application.address
        settings.entrances.inboundIsPlain = true
        settings.drain.announcement = .milliseconds(20)
        settings.drain.inboundMax = .milliseconds(400)
        try world.start(settings, snapshot: world.snapshot())
        let kept = try RawConnection(to: world.sidecar.addresses.dataplane.inbound!)
        let ended = try RawConnection(to: world.sidecar.addresses.dataplane.inbound!)
        for caller in [kept, ended] { #expect(caller.upgrade().hasPrefix("HTTP/1.1 101")) }
        let began = Clock.monotonic()
        world.sidecar.stop()
        world.turn { Clock.monotonic() - began > .milliseconds(200) }
        for caller in [kept, ended] {
            caller.send("still")
            #expect(caller.read(5) == "still")
        }
        ended.finishWriting()
        #expect(ended.ending() == .finished)
        #expect(world.turn { world.sidecar.loop.isStopping })
        #expect(Clock.monotonic() - began >= .milliseconds(420))
        #expect(kept.ending() == .reset)
        let figures = world.sidecar.dataplane.context.stats.read()
        let count = { (why: String) in figures.first { $0.name == "weft_tunnels_ended_total" && $0.labels.contains(.init("why", why)) }?.value }
        #expect(count("shutdown") == .counter(1) && count("finished") == .counter(1))
        #expect(world.lines.contain("1 inbound requests did not end in time and are cut"))
    }
}
