//! Refuses texts whose tree would be too deep, before there is a tree.
//!
//! One pass of the lexer, which needs no stack. It bounds the depth from above by the tokens that
//! may stand over one another: those since the last separator, in each bracket, block and lambda that
//! is open. So chains (`a.b.c`, `1+1+1`, `not not x`) count as nesting does, and long lists and tables
//! count for nothing.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::Mode;
use ruff_python_parser::lexer::lex;

use super::ParseRefusal;

/// The deepest that is parsed. People's code stays below 300.
const MAX_DEPTH: usize = 2000;
/// Python's own tokenizer refuses more than 100 levels of indentation.
const MAX_INDENT: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum OpenBracket {
    /// A block of statements, the module's own first.
    Block,
    /// Any bracket, also that of an f-string's field.
    Bracket(TokenKind),
    /// `lambda`, before its colon: commas there separate parameters.
    Parameters,
    /// What stands behind `lambda` and its arguments.
    Body,
}

struct NestingDepth {
    /// What is open, and the tokens since the last separator in it.
    stack: Vec<(OpenBracket, usize)>,
    sum: usize,
    indents: usize,
}

pub(super) fn check(text: &str) -> Result<(), ParseRefusal> {
    let mut depth = NestingDepth {
        stack: vec![(OpenBracket::Block, 0)],
        sum: 0,
        indents: 0,
    };
    let mut lexer = lex(text, Mode::Module);
    loop {
        let kind = lexer.next_token();
        if kind == TokenKind::EndOfFile {
            break;
        }
        // A bracket that does not fit is an error of syntax, and what the parser makes of the rest
        // is not what is counted here.
        depth.take(kind).ok_or(ParseRefusal::Syntax)?;
        if depth.sum > MAX_DEPTH || depth.stack.len() > MAX_DEPTH || depth.indents > MAX_INDENT {
            return Err(ParseRefusal::Deep);
        }
    }
    if depth
        .stack
        .iter()
        .any(|(open, _)| matches!(open, OpenBracket::Bracket(_)))
    {
        return Err(ParseRefusal::Syntax);
    }
    Ok(())
}

impl NestingDepth {
    /// Counts a token; `None` where it cannot stand.
    fn take(&mut self, kind: TokenKind) -> Option<()> {
        match kind {
            TokenKind::Comment | TokenKind::NonLogicalNewline => {}
            TokenKind::Unknown => return None,
            TokenKind::Lpar => self.open(OpenBracket::Bracket(TokenKind::Rpar)),
            TokenKind::Lsqb => self.open(OpenBracket::Bracket(TokenKind::Rsqb)),
            TokenKind::Lbrace => self.open(OpenBracket::Bracket(TokenKind::Rbrace)),
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                self.close_lambdas();
                (self.close()? == OpenBracket::Bracket(kind)).then_some(())?;
            }
            TokenKind::Lambda => self.open(OpenBracket::Parameters),
            TokenKind::Colon => {
                if let Some(top) = self.stack.last_mut()
                    && top.0 == OpenBracket::Parameters
                {
                    top.0 = OpenBracket::Body;
                }
                self.count();
            }
            TokenKind::Comma => {
                while self.top() == OpenBracket::Body {
                    self.close();
                }
                if self.top() != OpenBracket::Parameters {
                    self.separate();
                }
            }
            TokenKind::Newline | TokenKind::Semi => {
                self.close_lambdas();
                self.separate();
            }
            TokenKind::Indent => {
                self.indents += 1;
                self.open(OpenBracket::Block);
            }
            TokenKind::Dedent => {
                self.indents = self.indents.saturating_sub(1);
                self.close_lambdas();
                (self.close()? == OpenBracket::Block).then_some(())?;
            }
            _ => self.count(),
        }
        Some(())
    }

    fn top(&self) -> OpenBracket {
        self.stack
            .last()
            .map_or(OpenBracket::Block, |(open, _)| *open)
    }

    fn count(&mut self) {
        if let Some((_, tokens)) = self.stack.last_mut() {
            *tokens += 1;
            self.sum += 1;
        }
    }

    /// The token that opens counts for what it stands in.
    fn open(&mut self, open: OpenBracket) {
        self.count();
        self.stack.push((open, 0));
    }

    fn close(&mut self) -> Option<OpenBracket> {
        let (open, tokens) = self.stack.pop()?;
        self.sum -= tokens;
        Some(open)
    }

    fn close_lambdas(&mut self) {
        while matches!(self.top(), OpenBracket::Parameters | OpenBracket::Body) {
            self.close();
        }
    }

    fn separate(&mut self) {
        if let Some((_, tokens)) = self.stack.last_mut() {
            self.sum -= *tokens;
            *tokens = 0;
        }
    }
}
