internal import CPlatform
internal import Host
internal import Pipeline

/// One line of JSON per noteworthy event, on standard error. Values are escaped, so one record is one line whatever a peer sent.
enum Log {
    static func note(_ event: String, _ fields: KeyValuePairs<String, String> = [:]) {
        var writer = JSONWriter()
        writer.object {
            $0.member("ts", Double(Clock.unixNanoseconds() / 1_000_000) / 1_000)
            $0.member("event", event)
            for (key, value) in fields { $0.member(key, value) }
        }
        fputs(writer.text + "\n", weft_stderr())
    }
}
