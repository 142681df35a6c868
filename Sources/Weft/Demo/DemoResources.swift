/// What the demo applies, and what it leaves in its folder to be tried.
enum DemoResources {
    /// By file name.
    static let files = [
        ("shop.json", shop), ("canary-50.json", route(v1: 50, v2: 50)), ("canary-0.json", route(v1: 0, v2: 100)),
        ("canary-90.json", route(v1: 90, v2: 10)), ("reorder.json", reorder), ("impossible.json", impossible),
    ]

    /// ARCHITECTURE §8; the same text is `Tests/Fixtures/shop.json`.
    static let shop = #"""
        [
        {"kind":"Mesh","name":"shop","trustDomain":"shop.internal","mtls":"strict","defaultAccess":"allow","egress":"deny","settings":{"retry":{"maxRetries":3},"request-timeout":{"after":"2s"}}},
        {"kind":"Service","name":"order","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"analytics","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"inventory","ports":[{"port":8080,"protocol":"http"}]},
        {"kind":"Service","name":"payment","ports":[{"port":8080,"protocol":"http"}],"defaultVersion":"v1","settings":{"attempt-timeout":{"after":"500ms"},"breaker":{"maxRequests":200,"consecutiveFailures":5}}},
        {"kind":"Service","name":"orders-db","labels":{"tier":"database"},"ports":[{"port":5432,"protocol":"tcp"}]},
        {"kind":"Route","name":"payment","service":"payment","rules":[{"name":"all","matches":[{"path":{"prefix":"/"}}],"backends":[{"version":"v1","weight":90},{"version":"v2","weight":10}]}]},
        {"kind":"AccessPolicy","name":"payment-callers","target":{"service":"payment"},"action":"allow","rules":[{"from":[{"service":"order"}]}]},
        {"kind":"AccessPolicy","name":"inventory-callers","target":{"service":"inventory"},"action":"allow","rules":[{"from":[{"service":"order"}]}]},
        {"kind":"AccessPolicy","name":"no-analytics","target":{"service":"payment"},"action":"deny","rules":[{"from":[{"service":"analytics"}]}]},
        {"kind":"AccessPolicy","name":"no-external-db","target":{"labels":{"tier":"database"}},"action":"deny","rules":[{"from":[{"external":true}]}]},
        {"kind":"RateLimit","name":"payment","target":{"service":"payment"},"rules":[{"key":"source","rate":"100/s","burst":200}]},
        {"kind":"Chain","name":"outbound","direction":"outbound","target":{"service":"order"},"stages":["stats",{"filter":"timeout","name":"request-timeout"},"retry","breaker",{"filter":"timeout","name":"attempt-timeout"},"router","tls"]}
        ]

        """#

    private static func route(v1: Int, v2: Int) -> String {
        """
        // How payment's callers are split between its versions. Change the weights and: weft apply -f FILE
        {
          "kind": "Route", "name": "payment", "service": "payment",
          "rules": [
            {
              "name": "all",
              "matches": [{"path": {"prefix": "/"}}],
              "backends": [{"version": "v1", "weight": \(v1)}, {"version": "v2", "weight": \(v2)}],
            },
          ],
        }

        """
    }

    /// The attempt's limit moves above `retry`: now it bounds all attempts together.
    private static let reorder = #"""
        // order's outbound chain in another order: attempt-timeout stands above retry, so it limits all attempts together.
        {
          "kind": "Chain", "name": "outbound", "direction": "outbound", "target": {"service": "order"},
          "stages": [
            "stats",
            {"filter": "timeout", "name": "request-timeout"},
            {"filter": "timeout", "name": "attempt-timeout"},
            "breaker", "retry", "router", "tls",
          ],
        }

        """#

    /// Refused, and why: a router that is not the last stage but transport has nothing to hand over to.
    private static let impossible = #"""
        // This cannot work: stages below the router would never be reached. weft apply says so and changes nothing.
        {
          "kind": "Chain", "name": "outbound", "direction": "outbound", "target": {"service": "order"},
          "stages": ["stats", "router", "retry", "tls"],
        }

        """#
}
