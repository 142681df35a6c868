/// Numbers as people read them in tables.
package enum Figures {
    /// `0.42ms`, `12ms`, `1.5s`; a hyphen if there is none.
    package static func latency(_ seconds: Double?) -> String {
        guard let seconds, seconds.isFinite, seconds >= 0 else { return "-" }
        let milliseconds = seconds * 1_000
        if milliseconds < 1 { return fixed(milliseconds, 2) + "ms" }
        if milliseconds < 10 { return fixed(milliseconds, 1) + "ms" }
        if milliseconds < 1_000 { return fixed(milliseconds, 0) + "ms" }
        return fixed(seconds, seconds < 10 ? 2 : 1) + "s"
    }

    /// `98.25%` of a share from 0 to 1. Never rounded up to 100 or down to 0.
    package static func share(_ share: Double?) -> String {
        guard let share, share.isFinite else { return "-" }
        let percent = fixed(share * 100, 2)
        if percent == "100.00", share < 1 { return "99.99%" }
        if percent == "0.00", share > 0 { return "0.01%" }
        return percent + "%"
    }

    /// `50.0`, or `1,250` from a thousand on.
    package static func rate(_ perSecond: Double?) -> String {
        guard let perSecond, perSecond.isFinite, perSecond >= 0 else { return "-" }
        return perSecond < 1_000 ? fixed(perSecond, 1) : count(Int64(min(perSecond, 1e15)))
    }

    /// `1,234,567`.
    package static func count(_ count: Int64) -> String {
        let digits = Array(String(count.magnitude))
        var text = count < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// `3s`, `5m`, `2h`, `4d`: how long ago, or how long still.
    package static func age(_ seconds: Double?) -> String {
        guard let seconds, seconds.isFinite, seconds >= 0 else { return "-" }
        switch seconds {
        case ..<120: return "\(Int(seconds))s"
        case ..<7_200: return "\(Int(seconds / 60))m"
        case ..<172_800: return "\(Int(seconds / 3_600))h"
        default: return "\(Int(min(seconds, 1e12) / 86_400))d"
        }
    }

    /// Exactly `places` digits behind the point; rounded half away from zero.
    package static func fixed(_ value: Double, _ places: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = Int64((abs(value) * scale).rounded())
        let whole = scaled / Int64(scale), fraction = scaled % Int64(scale)
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard places > 0 else { return sign + String(whole) }
        let digits = String(fraction)
        return sign + "\(whole)." + String(repeating: "0", count: places - digits.count) + digits
    }
}
