/// What is counted of raw streams (TCP) by pair: names and help, the same on a sidecar's page and on the control plane's.
package enum StreamSeries {
    package typealias Name = (name: String, help: String)

    package static let opened: Name = ("weft_tcp_connections_opened_total", "TCP connections that reached their service, by pair and version.")
    package static let received: Name = ("weft_tcp_received_bytes_total", "Bytes of TCP connections from callers to services, by pair and version.")
    package static let sent: Name = ("weft_tcp_sent_bytes_total", "Bytes of TCP connections from services to callers, by pair and version.")
    package static let closed: Name = (
        "weft_tcp_connections_closed_total",
        "TCP connections that are over; code 0: by their own ends, 403: refused or cut by a policy, 408: idle, 502: broken off by the service, 503: not connected."
    )
    package static let duration: Name = ("weft_tcp_connection_duration_seconds", "How long TCP connections lasted, by pair.")
}
