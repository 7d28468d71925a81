//! Which module's names stand behind the names of a text, and what its top level binds.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{
    Alias, ExceptHandler, Expr, Identifier, Number, Stmt, StmtFunctionDef, StmtImportFrom,
};

use super::{
    AppFactory, BoundName, ModuleSyntax, NameValue, SourceText, WebFramework, dotted, known,
};

/// The imports of a text, wherever they stand: scopes make no difference for what is asked here.
#[derive(Debug, Default)]
pub(super) struct ImportTable {
    /// Local name to the path that stands behind it.
    paths: BTreeMap<String, String>,
    /// Modules all of whose names are imported.
    pub stars: Vec<String>,
    pub modules: BTreeSet<String>,
}

impl ImportTable {
    pub(super) fn of(body: &[Stmt]) -> Self {
        let mut imports = Self::default();
        imports.visit_body(body);
        imports
    }

    pub(super) fn has_stars(&self) -> bool {
        !self.stars.is_empty()
    }

    /// The path behind what is written as a dotted name.
    pub(super) fn path(&self, expression: &Expr) -> Option<String> {
        let written = dotted(expression)?;
        let (first, rest) = match written.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (written.as_str(), None),
        };
        let path = match (self.paths.get(first), rest) {
            (Some(path), Some(rest)) => format!("{path}.{rest}"),
            (Some(path), None) => path.clone(),
            (None, _) => self.starred(&written)?,
        };
        Some(path)
    }

    /// A name that only `from x import *` can have brought.
    fn starred(&self, name: &str) -> Option<String> {
        self.stars
            .iter()
            .map(|module| format!("{module}.{name}"))
            .find(|path| known::framework(path).is_some() || known::server(path).is_some())
    }

    /// The framework whose application an expression is, where that shows.
    pub(super) fn framework(&self, expression: &Expr) -> Option<WebFramework> {
        let Expr::Call(call) = expression else {
            return None;
        };
        let known = self
            .path(&call.func)
            .and_then(|path| known::framework(&path));
        // Pyramid's, of whatever the configuration is called: `config.make_wsgi_app()`.
        let is_pyramid = || matches!(&*call.func, Expr::Attribute(method) if method.attr.as_str() == "make_wsgi_app");
        known.or_else(|| is_pyramid().then_some(WebFramework::Pyramid))
    }
}

impl<'a> Visitor<'a> for ImportTable {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    let module = alias.name.as_str();
                    self.modules.insert(module.to_owned());
                    let (name, path) = imported(alias);
                    self.paths.insert(name.to_owned(), path.to_owned());
                }
            }
            Stmt::ImportFrom(import) => {
                let module = relative(import.level, import.module.as_ref().map(Identifier::as_str));
                self.modules.insert(module.clone());
                for alias in &import.names {
                    if alias.name.as_str() == "*" {
                        self.stars.push(module.clone());
                        continue;
                    }
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    let path = format!("{module}.{}", alias.name.as_str());
                    self.paths.insert(name.to_owned(), path);
                }
            }
            // Imports stand nowhere else than in statements.
            other => visitor::walk_stmt(self, other),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// The name that `import a.b` binds, and the module behind it.
fn imported(alias: &Alias) -> (&str, &str) {
    let whole = alias.name.as_str();
    let first = whole.split('.').next().unwrap_or(whole);
    let named = alias.asname.as_ref().map(Identifier::as_str);
    named.map_or((first, first), |name| (name, whole))
}

/// A module as `from` names it, its dots kept.
fn relative(level: u32, module: Option<&str>) -> String {
    let dots = ".".repeat(usize::try_from(level).unwrap_or(0));
    format!("{dots}{}", module.unwrap_or_default())
}

/// Notes the names that these statements of the top level bind.
pub(super) fn bind(
    body: &[Stmt],
    source: &SourceText<'_>,
    imports: &ImportTable,
    module: &mut ModuleSyntax,
) {
    let mut binder = NameBinder {
        source,
        imports,
        module,
    };
    binder.body(body);
}

struct NameBinder<'a> {
    source: &'a SourceText<'a>,
    imports: &'a ImportTable,
    module: &'a mut ModuleSyntax,
}

impl NameBinder<'_> {
    fn body(&mut self, body: &[Stmt]) {
        for statement in body {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        let line = self.source.line(statement);
        match statement {
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.assign(target, Some(&assign.value), line);
                }
            }
            Stmt::AnnAssign(assign) => self.assign(&assign.target, assign.value.as_deref(), line),
            Stmt::FunctionDef(function) => {
                let value = match self.factory(function) {
                    Some(factory) => NameValue::Factory(factory),
                    None => NameValue::Other,
                };
                self.set(function.name.as_str(), line, value);
            }
            Stmt::ClassDef(class) => self.set(class.name.as_str(), line, NameValue::Other),
            Stmt::Import(import) => {
                for (name, module) in import.names.iter().map(imported) {
                    let module = module.to_owned();
                    self.set(name, line, NameValue::Import { module, name: None });
                }
            }
            Stmt::ImportFrom(import) => self.import_from(import, line),
            other => self.inner(other, line),
        }
    }

    /// The blocks that a statement holds.
    fn inner(&mut self, statement: &Stmt, line: u32) {
        match statement {
            Stmt::If(branch) => {
                self.body(&branch.body);
                for clause in &branch.elif_else_clauses {
                    self.body(&clause.body);
                }
            }
            Stmt::Try(attempt) => {
                self.body(&attempt.body);
                for handler in &attempt.handlers {
                    let ExceptHandler::ExceptHandler(handler) = handler;
                    self.body(&handler.body);
                }
                self.body(&attempt.orelse);
                self.body(&attempt.finalbody);
            }
            Stmt::With(with) => {
                for item in &with.items {
                    if let Some(name) = &item.optional_vars {
                        self.assign(name, Some(&item.context_expr), line);
                    }
                }
                self.body(&with.body);
            }
            Stmt::For(each) => {
                self.assign(&each.target, None, line);
                self.body(&each.body);
                self.body(&each.orelse);
            }
            Stmt::While(repeat) => {
                self.body(&repeat.body);
                self.body(&repeat.orelse);
            }
            Stmt::Match(choice) => {
                for case in &choice.cases {
                    self.body(&case.body);
                }
            }
            _ => {}
        }
    }

    fn import_from(&mut self, import: &StmtImportFrom, line: u32) {
        let module = relative(import.level, import.module.as_ref().map(Identifier::as_str));
        for alias in &import.names {
            let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
            let value = NameValue::Import {
                module: module.clone(),
                name: Some(alias.name.as_str().to_owned()),
            };
            if name != "*" {
                self.set(name, line, value);
            }
        }
    }

    fn assign(&mut self, target: &Expr, value: Option<&Expr>, line: u32) {
        match target {
            Expr::Name(name) => {
                let value = value.map_or(NameValue::Other, |value| self.value(value));
                self.set(name.id.as_str(), line, value);
            }
            // `app, rt = fast_app()`: the application comes first.
            Expr::Tuple(tuple) => {
                for (index, target) in tuple.elts.iter().enumerate() {
                    self.assign(target, value.filter(|_| index == 0), line);
                }
            }
            Expr::List(list) => {
                for target in &list.elts {
                    self.assign(target, None, line);
                }
            }
            _ => {}
        }
    }

    /// An application that a name has been is still one when it is wrapped.
    fn set(&mut self, name: &str, line: u32, value: NameValue) {
        let known = self.module.names.get(name);
        let wraps = matches!(
            known,
            Some(BoundName {
                value: NameValue::Application(_),
                ..
            })
        ) && matches!(value, NameValue::Other | NameValue::CallOf(_));
        if !wraps {
            let bound = BoundName { line, value };
            self.module.names.insert(name.to_owned(), bound);
        }
    }

    fn value(&self, expression: &Expr) -> NameValue {
        if let Some(framework) = self.imports.framework(expression) {
            return NameValue::Application(framework);
        }
        match expression {
            Expr::StringLiteral(text) => NameValue::Text(text.value.to_str().to_owned()),
            Expr::NumberLiteral(number) => match &number.value {
                Number::Int(number) => number.as_u16().map_or(NameValue::Other, NameValue::Number),
                _ => NameValue::Other,
            },
            Expr::Name(name) => match self.module.names.get(name.id.as_str()) {
                Some(bound) => bound.value.clone(),
                None => NameValue::Other,
            },
            Expr::Call(call) => self.called(call),
            // `server = app.server`, Dash's.
            Expr::Attribute(attribute) => match self.value(&attribute.value) {
                NameValue::Application(WebFramework::Dash)
                    if attribute.attr.as_str() == "server" =>
                {
                    NameValue::Application(WebFramework::Flask)
                }
                _ => NameValue::Other,
            },
            _ => NameValue::Other,
        }
    }

    fn called(&self, call: &ruff_python_ast::ExprCall) -> NameValue {
        let Some(function) = dotted(&call.func) else {
            return NameValue::Other;
        };
        match self.module.names.get(&function).map(|bound| &bound.value) {
            Some(NameValue::Factory(AppFactory {
                framework: Some(framework),
                ..
            })) => NameValue::Application(*framework),
            _ => NameValue::CallOf(function),
        }
    }

    /// A function that gives an application, by what it returns or by its name.
    fn factory(&self, function: &StmtFunctionDef) -> Option<AppFactory> {
        let mut made = ReturnedValue {
            imports: self.imports,
            names: BTreeMap::new(),
            framework: None,
        };
        made.visit_body(&function.body);
        let annotated = function
            .returns
            .as_deref()
            .and_then(|returned| self.imports.path(returned))
            .and_then(|path| known::framework(&path));
        let framework = made.framework.or(annotated);
        let is_named = matches!(function.name.as_str(), "create_app" | "make_app");
        if (framework.is_none() && !is_named) || function.is_async {
            return None;
        }
        let parameters = &function.parameters;
        let required = parameters
            .posonlyargs
            .iter()
            .chain(&parameters.args)
            .chain(&parameters.kwonlyargs)
            .filter(|one| one.default.is_none())
            .map(|one| one.parameter.name.as_str().to_owned())
            .collect();
        Some(AppFactory {
            framework,
            required,
        })
    }
}

/// What a function returns.
struct ReturnedValue<'a> {
    imports: &'a ImportTable,
    names: BTreeMap<String, WebFramework>,
    framework: Option<WebFramework>,
}

impl<'a> Visitor<'a> for ReturnedValue<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(assign) => {
                if let Some(framework) = self.imports.framework(&assign.value) {
                    for target in &assign.targets {
                        if let Some(name) = dotted(target) {
                            self.names.insert(name, framework);
                        }
                    }
                }
            }
            Stmt::AnnAssign(assign) => {
                let value = assign.value.as_deref();
                if let Some(framework) = value.and_then(|value| self.imports.framework(value))
                    && let Some(name) = dotted(&assign.target)
                {
                    self.names.insert(name, framework);
                }
            }
            Stmt::Return(returned) => {
                let value = returned.value.as_deref();
                let found = value.and_then(|value| {
                    self.imports
                        .framework(value)
                        .or_else(|| self.names.get(&dotted(value)?).copied())
                });
                self.framework = self.framework.or(found);
            }
            // Other functions return for themselves.
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            other => visitor::walk_stmt(self, other),
        }
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}
