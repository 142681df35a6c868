import Pipeline
import Testing
import WeftTesting

@Suite("timeout")
struct TimeoutTests {
    @Test("A service that does not answer in time is given up with 504 UT, at the deadline")
    func expires() throws {
        let harness = try ChainHarness(#"[{"filter": "timeout", "config": {"after": "2s"}}]"#)
        harness.upstream = { _, _ in .hang }
        let answer = harness.send(.get("/"))
        #expect(answer.status == 504)
        #expect(answer.flag == .UT)
        #expect(answer.elapsed == .seconds(2))
        #expect(harness.stat("weft_timeout_expired_total") == 1)
    }
}
