//! Whether running a module does more than define things: whether it may still be there a second
//! later.

use ruff_python_ast::{ExceptHandler, Expr, ExprCall, Stmt};

use super::names::ImportTable;
use super::{ModuleSyntax, NameValue, TopLevel, dotted, known};

/// Beginnings of functions that set something up and return.
const RETURNING: [&str; 30] = [
    "load_dotenv",
    "basicConfig",
    "dictConfig",
    "fileConfig",
    "register",
    "setup",
    "init",
    "configure",
    "add",
    "append",
    "insert",
    "extend",
    "update",
    "setdefault",
    "include",
    "mount",
    "create_all",
    "filterwarnings",
    "simplefilter",
    "makedirs",
    "mkdir",
    "import_module",
    "patch_all",
    "monkey_patch",
    "print",
    "info",
    "debug",
    "warning",
    "set",
    "from_",
];

/// What a module does when it is run.
pub(super) fn top_level(body: &[Stmt], imports: &ImportTable, module: &ModuleSyntax) -> TopLevel {
    let judge = TopLevelJudge { imports, module };
    if body.is_empty() {
        TopLevel::Blank
    } else if body.iter().any(is_main_block) {
        TopLevel::MainBlock
    } else if judge.all_return(body) {
        TopLevel::Defines
    } else {
        TopLevel::Acts
    }
}

/// `if __name__ == "__main__":`, either way round.
fn is_main_block(statement: &Stmt) -> bool {
    let Stmt::If(branch) = statement else {
        return false;
    };
    let Expr::Compare(compare) = &*branch.test else {
        return false;
    };
    let is_name = |one: &Expr| matches!(one, Expr::Name(name) if name.id.as_str() == "__name__");
    is_name(&compare.left) || compare.comparators.iter().any(is_name)
}

struct TopLevelJudge<'a> {
    imports: &'a ImportTable,
    module: &'a ModuleSyntax,
}

impl TopLevelJudge<'_> {
    fn all_return(&self, body: &[Stmt]) -> bool {
        body.iter().all(|statement| self.returns(statement))
    }

    /// Whether a statement is known to come to its end. A value that is computed does: what serves
    /// is not assigned.
    fn returns(&self, statement: &Stmt) -> bool {
        match statement {
            Stmt::Expr(expression) => match &*expression.value {
                Expr::Call(call) => self.call_returns(call),
                Expr::Await(_) => false,
                _ => true,
            },
            Stmt::If(branch) => {
                let clauses = &branch.elif_else_clauses;
                self.all_return(&branch.body)
                    && clauses.iter().all(|one| self.all_return(&one.body))
            }
            Stmt::Try(attempt) => {
                let handlers = attempt.handlers.iter().all(|handler| {
                    let ExceptHandler::ExceptHandler(handler) = handler;
                    self.all_return(&handler.body)
                });
                handlers
                    && self.all_return(&attempt.body)
                    && self.all_return(&attempt.orelse)
                    && self.all_return(&attempt.finalbody)
            }
            Stmt::With(with) => self.all_return(&with.body),
            Stmt::For(each) => self.all_return(&each.body) && self.all_return(&each.orelse),
            Stmt::Match(choice) => choice.cases.iter().all(|case| self.all_return(&case.body)),
            Stmt::While(_) => false,
            _ => true,
        }
    }

    fn call_returns(&self, call: &ExprCall) -> bool {
        if self
            .imports
            .path(&call.func)
            .is_some_and(|path| known::server(&path).is_some())
        {
            return false;
        }
        let Some(function) = dotted(&call.func) else {
            return false;
        };
        let (receiver, name) = match function.rsplit_once('.') {
            Some((receiver, name)) => (receiver.split('.').next(), name),
            None => (None, function.as_str()),
        };
        let application = receiver.and_then(|name| match self.module.names.get(name)?.value {
            NameValue::Application(framework) => Some(framework),
            _ => None,
        });
        if let Some(framework) = application {
            return known::method(framework, name).is_none();
        }
        // `CORS(app)`
        name.starts_with(|first: char| first.is_ascii_uppercase())
            || RETURNING.iter().any(|start| name.starts_with(start))
    }
}
