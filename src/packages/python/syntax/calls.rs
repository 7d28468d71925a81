//! The calls of a text that start a server, and where they say that it listens.

use std::collections::BTreeMap;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Arguments, BoolOp, Expr, ExprCall, Identifier, Number, Stmt};

use super::known::{self, ListenArgument, ListenDefault, ServerFunction};
use super::names::ImportTable;
use super::{ArgumentValue, ModuleSyntax, NameValue, ServerCall, SourceText, WebFramework, dotted};

/// Names that are followed from one assignment to the next.
const MAX_HOPS: u32 = 8;

/// What a walk over a whole text finds.
pub(super) struct CallScan<'a> {
    source: &'a SourceText<'a>,
    imports: &'a ImportTable,
    /// Names that stand for applications, in whatever scope.
    applications: BTreeMap<String, WebFramework>,
    /// What names are set to, in whatever scope.
    assigned: BTreeMap<String, &'a Expr>,
    pub servers: Vec<ServerCall>,
    /// Variables of the environment that are set, with their values and lines.
    pub defaults: BTreeMap<String, (String, u32)>,
    /// Whether names may be made by other means than statements.
    pub is_dynamic: bool,
}

impl<'a> CallScan<'a> {
    pub(super) fn of(
        body: &'a [Stmt],
        source: &'a SourceText<'a>,
        imports: &'a ImportTable,
        module: &ModuleSyntax,
    ) -> Self {
        let known = module
            .names
            .iter()
            .filter_map(|(name, bound)| match bound.value {
                NameValue::Application(framework) => Some((name.clone(), framework)),
                _ => None,
            });
        let mut calls = Self {
            source,
            imports,
            applications: known.collect(),
            assigned: BTreeMap::new(),
            servers: Vec::new(),
            defaults: BTreeMap::new(),
            is_dynamic: false,
        };
        calls.visit_body(body);
        calls
    }

    fn server(&self, call: &ExprCall) -> Option<ServerFunction> {
        if let Some(server) = self
            .imports
            .path(&call.func)
            .and_then(|path| known::server(&path))
        {
            return Some(server);
        }
        let Expr::Attribute(method) = &*call.func else {
            return None;
        };
        let name = method.attr.as_str();
        let receiver = dotted(&method.value);
        let framework = receiver
            .as_ref()
            .and_then(|receiver| self.applications.get(receiver).copied())
            .or_else(|| self.imports.framework(&method.value));
        if let Some(framework) = framework {
            return known::method(framework, name);
        }
        // `demo.queue().launch()`: whatever it is called upon, nothing else has this method.
        if name == "launch" && self.imports.modules.contains("gradio") {
            return known::method(WebFramework::Gradio, name);
        }
        // `app = create_app()`, of another module, or `create_app().run()`: told by the name and the arguments.
        let made = match &*method.value {
            Expr::Call(call) => dotted(&call.func),
            _ => receiver,
        };
        let is_application = made.is_some_and(|name| {
            let last = name.rsplit('.').next().unwrap_or_default();
            ["app", "application", "create_app", "make_app"].contains(&last)
        });
        let is_flask = is_application
            && name == "run"
            && call.arguments.keywords.iter().all(|keyword| {
                let name = keyword.arg.as_ref().map(Identifier::as_str);
                matches!(
                    name,
                    Some(
                        "host"
                            | "port"
                            | "debug"
                            | "threaded"
                            | "use_reloader"
                            | "ssl_context"
                            | "load_dotenv"
                            | "processes"
                    )
                )
            });
        is_flask
            .then(|| known::method(WebFramework::Flask, "run"))
            .flatten()
    }

    fn note(&mut self, call: &ExprCall, server: ServerFunction) {
        let arguments = &call.arguments;
        let is_open = arguments
            .keywords
            .iter()
            .any(|keyword| keyword.arg.is_none())
            || arguments.args.iter().any(Expr::is_starred_expr);
        let (host, port) = if is_open {
            (RawValue::Unknown, RawValue::Unknown)
        } else {
            self.told(arguments, server)
        };
        self.servers.push(ServerCall {
            line: self.source.line(call),
            function: self.source.slice(&*call.func).to_owned(),
            host: setting(host, |text| Some(text.to_owned())),
            port: setting(port, |text| text.parse().ok()),
            corrected: if is_open {
                None
            } else {
                self.corrected(call, server)
            },
        });
    }

    fn told(&self, arguments: &Arguments, server: ServerFunction) -> (RawValue, RawValue) {
        match server.told {
            ListenArgument::Arguments { host, port } => (
                self.argument(arguments, host, server.host),
                self.argument(arguments, port, server.port),
            ),
            ListenArgument::Pair => match arguments.args.first() {
                Some(Expr::Tuple(pair)) if pair.elts.len() == 2 => {
                    (self.raw(&pair.elts[0], 0), self.raw(&pair.elts[1], 0))
                }
                _ => (RawValue::Unknown, RawValue::Unknown),
            },
            ListenArgument::Otherwise => (RawValue::Unknown, RawValue::Unknown),
        }
    }

    fn argument<T: ToString>(
        &self,
        arguments: &Arguments,
        (keyword, position): (&str, Option<usize>),
        standard: ListenDefault<T>,
    ) -> RawValue {
        let given = arguments
            .find_keyword(keyword)
            .map(|keyword| &keyword.value)
            .or_else(|| position.and_then(|position| arguments.find_positional(position)));
        // Other ways to say where: a configuration, a socket, a list of addresses.
        let is_said_otherwise = ["listen", "sock", "fd", "uds", "unix", "path", "config"]
            .iter()
            .any(|name| arguments.find_keyword(name).is_some());
        match (given, standard) {
            (Some(given), _) => self.raw(given, 0),
            _ if is_said_otherwise => RawValue::Unknown,
            (None, ListenDefault(Some(variable), value)) => RawValue::Variable {
                name: variable.to_owned(),
                otherwise: Some(value.to_string()),
            },
            (None, ListenDefault(None, value)) => RawValue::Text(value.to_string()),
        }
    }

    /// What an expression is, as far as it can be told.
    fn raw(&self, expression: &Expr, hops: u32) -> RawValue {
        if hops > MAX_HOPS {
            return RawValue::Unknown;
        }
        match expression {
            Expr::StringLiteral(text) => RawValue::Text(text.value.to_str().to_owned()),
            Expr::NoneLiteral(_) => RawValue::Text(String::new()),
            Expr::NumberLiteral(number) => match &number.value {
                Number::Int(number) => number.as_u16().map_or(RawValue::Unknown, |number| {
                    RawValue::Text(number.to_string())
                }),
                _ => RawValue::Unknown,
            },
            Expr::Name(name) => match self.assigned.get(name.id.as_str()) {
                Some(value) => self.raw(value, hops + 1),
                None => RawValue::Unknown,
            },
            Expr::Call(call) => self.called(call, hops),
            Expr::Subscript(item) if self.path_is(&item.value, &["os.environ"]) => {
                self.variable(Some(&item.slice), None, hops)
            }
            Expr::BoolOp(either) if either.op == BoolOp::Or && either.values.len() == 2 => {
                match (
                    self.raw(&either.values[0], hops + 1),
                    self.raw(&either.values[1], hops + 1),
                ) {
                    (
                        RawValue::Variable {
                            name,
                            otherwise: None,
                        },
                        RawValue::Text(text),
                    ) => RawValue::Variable {
                        name,
                        otherwise: Some(text),
                    },
                    (known, _) => known,
                }
            }
            _ => RawValue::Unknown,
        }
    }

    fn called(&self, call: &ExprCall, hops: u32) -> RawValue {
        let arguments = &call.arguments.args;
        if self.path_is(&call.func, &["os.getenv", "os.environ.get"]) {
            return self.variable(arguments.first(), arguments.get(1), hops);
        }
        match (dotted(&call.func).as_deref(), arguments.first()) {
            (Some("int" | "str"), Some(inner)) => self.raw(inner, hops + 1),
            _ => RawValue::Unknown,
        }
    }

    fn variable(&self, name: Option<&Expr>, otherwise: Option<&Expr>, hops: u32) -> RawValue {
        let Some(Expr::StringLiteral(name)) = name else {
            return RawValue::Unknown;
        };
        let otherwise = otherwise.map(|otherwise| self.raw(otherwise, hops + 1));
        RawValue::Variable {
            name: name.value.to_str().to_owned(),
            otherwise: match otherwise {
                Some(RawValue::Text(text)) => Some(text),
                _ => None,
            },
        }
    }

    fn set_default(&mut self, name: &str, value: &str, node: &impl ruff_text_size::Ranged) {
        let line = self.source.line(node);
        self.defaults
            .entry(name.to_owned())
            .or_insert_with(|| (value.to_owned(), line));
    }

    fn path_is(&self, expression: &Expr, paths: &[&str]) -> bool {
        self.imports
            .path(expression)
            .is_some_and(|path| paths.contains(&path.as_str()))
    }

    /// The call as it stands there, but for where it listens.
    fn corrected(&self, call: &ExprCall, server: ServerFunction) -> Option<String> {
        const HOST: &str = "\"0.0.0.0\"";
        const PORT: &str = "8080";
        let arguments = &call.arguments;
        let mut written: Vec<String> = Vec::new();
        let slice = |expression: &Expr| self.source.slice(expression).to_owned();
        match server.told {
            ListenArgument::Otherwise => return None,
            ListenArgument::Pair => {
                written.push(format!("({HOST}, {PORT})"));
                written.extend(arguments.args.iter().skip(1).map(slice));
                written.extend(
                    arguments
                        .keywords
                        .iter()
                        .map(|one| self.source.slice(one).to_owned()),
                );
            }
            ListenArgument::Arguments { host, port } => {
                for (index, argument) in arguments.args.iter().enumerate() {
                    written.push(match Some(index) {
                        index if index == host.1 => HOST.to_owned(),
                        index if index == port.1 => PORT.to_owned(),
                        _ => slice(argument),
                    });
                }
                let is_written =
                    |position: Option<usize>| position.is_some_and(|at| at < arguments.args.len());
                if !is_written(host.1) {
                    written.push(format!("{}={HOST}", host.0));
                }
                if !is_written(port.1) {
                    written.push(format!("{}={PORT}", port.0));
                }
                let others = arguments.keywords.iter().filter(|one| {
                    let name = one.arg.as_ref().map(Identifier::as_str);
                    name != Some(host.0) && name != Some(port.0)
                });
                written.extend(others.map(|one| self.source.slice(one).to_owned()));
            }
        }
        let text = format!("{}({})", self.source.slice(&*call.func), written.join(", "));
        // What is spread over lines is no line to show.
        (!text.contains('\n') && text.len() <= 200).then_some(text)
    }
}

impl<'a> Visitor<'a> for CallScan<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::Assign(assign) = statement {
            let framework = self.imports.framework(&assign.value);
            for name in assign.targets.iter().filter_map(dotted) {
                if let Some(framework) = framework {
                    self.applications.insert(name.clone(), framework);
                }
                self.assigned.insert(name, &assign.value);
            }
            if let [Expr::Subscript(item)] = assign.targets.as_slice()
                && self.path_is(&item.value, &["os.environ"])
                && let (Expr::StringLiteral(name), Expr::StringLiteral(value)) =
                    (&*item.slice, &*assign.value)
            {
                self.set_default(name.value.to_str(), value.value.to_str(), assign);
            }
        }
        // `with gr.Blocks() as demo:`
        if let Stmt::With(with) = statement {
            for item in &with.items {
                let name = item.optional_vars.as_deref().and_then(dotted);
                if let (Some(name), Some(framework)) =
                    (name, self.imports.framework(&item.context_expr))
                {
                    self.applications.insert(name, framework);
                }
            }
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression {
            if let Some(server) = self.server(call) {
                self.note(call, server);
            }
            if self.path_is(&call.func, &["os.environ.setdefault"])
                && let [Expr::StringLiteral(name), Expr::StringLiteral(value)] =
                    &*call.arguments.args
            {
                self.set_default(name.value.to_str(), value.value.to_str(), call);
            }
            let function = dotted(&call.func);
            self.is_dynamic |= matches!(
                function.as_deref(),
                Some("globals" | "exec" | "setattr" | "vars" | "locals")
            );
        }
        visitor::walk_expr(self, expression);
    }
}

/// A value before its type is known.
enum RawValue {
    Text(String),
    Variable {
        name: String,
        otherwise: Option<String>,
    },
    Unknown,
}

fn setting<T>(raw: RawValue, parse: impl Fn(&str) -> Option<T>) -> ArgumentValue<T> {
    match raw {
        RawValue::Text(text) => parse(&text).map_or(ArgumentValue::Unknown, ArgumentValue::Is),
        RawValue::Variable { name, otherwise } => ArgumentValue::Variable {
            name,
            otherwise: otherwise.and_then(|text| parse(&text)),
        },
        RawValue::Unknown => ArgumentValue::Unknown,
    }
}
