internal import Glibc
internal import Host
public import Pipeline

/// The command line `weft`, for the executable of that name and for one of your own with filters of your own:
///
///     import TenantGateFilter
///     import Weft
///
///     @main enum Main {
///         static func main() { Weft.main(adding: [TenantGate.self]) }
///     }
public enum Weft {
    /// Does what the command line of this process says and exits.
    ///
    /// - Parameter filters: Filters beside the standard ones; config may name them in any chain. Two with one name stop the process.
    public static func main(adding filters: [any Filter.Type] = []) -> Never {
        ChildProcess.obeyParent()
        let console = Console.standard(environment: Environment.value)
        let code = run(Array(CommandLine.arguments.dropFirst()), adding: filters, console: console, environment: Environment.value)
        exit(code.rawValue)
    }

    /// As `main`, with the world passed in.
    package static func run(
        _ arguments: [String], adding filters: [any Filter.Type] = [], console: Console,
        environment: @escaping @Sendable (String) -> String?
    ) -> ExitCode {
        do {
            if ["--version", "-V"].contains(arguments.first) { return try run(["version"], adding: filters, console, environment) }
            if arguments.isEmpty {
                console.note(Help.overview(CommandTable.all))
                return .usage
            }
            if ["--help", "-h"].contains(arguments.first) { return try run(["help"], adding: filters, console, environment) }
            return try run(arguments, adding: filters, console, environment)
        } catch let failure as CommandFailure {
            console.report(failure)
            return failure.exitCode
        } catch {
            console.report(.system("\(error)"))
            return .no
        }
    }

    private static func run(
        _ arguments: [String], adding filters: [any Filter.Type], _ console: Console, _ environment: @escaping @Sendable (String) -> String?
    ) throws -> ExitCode {
        let parser = ArgumentParser(CommandTable.all, environment: environment)
        let group = parser.groupInQuestion(arguments)
        guard group.isEmpty else {
            console.print(Help.group(group))
            return .ok
        }
        let parsed = try parser.parse(arguments)
        guard !parsed.wantsHelp else {
            console.print(Help.page(parsed.command))
            return .ok
        }
        return try parsed.command.run(
            Invocation(
                command: parsed.command, values: parsed.values, operands: parsed.operands, console: console,
                filters: FilterRegistry(StandardFilters.all + filters)))
    }
}
