// Names what in a script is not among the features that the CloudFront developer guide lists for
// cloudfront-js-2.0 ("Core features": ES 5.1, const, let, async, await, arrow functions, rest
// parameters, template literals, **). Reads a list of scripts from standard input, as JSON, and
// writes a list of what was found for each.
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';

const {parse} = createRequire(import.meta.url)('internal/deps/acorn/acorn/dist/acorn');
const NODES = new Set(`Program ImportDeclaration ImportDefaultSpecifier VariableDeclaration
    VariableDeclarator FunctionDeclaration FunctionExpression ArrowFunctionExpression BlockStatement
    ExpressionStatement ReturnStatement IfStatement ForStatement ForInStatement WhileStatement
    DoWhileStatement BreakStatement ContinueStatement TryStatement CatchClause ThrowStatement
    SwitchStatement SwitchCase EmptyStatement LabeledStatement Identifier Literal TemplateLiteral
    TemplateElement ArrayExpression ObjectExpression Property CallExpression NewExpression
    MemberExpression UnaryExpression UpdateExpression BinaryExpression LogicalExpression
    AssignmentExpression ConditionalExpression SequenceExpression AwaitExpression RestElement
    ThisExpression`.split(/\s+/));

function* problems(node, functions) {
    const line = node.loc.start.line;
    if (!NODES.has(node.type)) yield `${line}: ${node.type}`;
    if (node.type === 'Property' && (node.shorthand || node.computed || node.method)) {
        yield `${line}: a property that ES 5.1 does not have`;
    }
    if (node.type === 'CatchClause' && !node.param) yield `${line}: catch without a name`;
    if (node.type === 'LogicalExpression' && node.operator === '??') yield `${line}: ??`;
    if (node.type === 'AssignmentExpression' && /^(\?\?|&&|\|\|)=$/.test(node.operator)) yield `${line}: ${node.operator}`;
    if (node.bigint) yield `${line}: a number that ES 5.1 does not have`;
    if (node.type === 'Literal' && node.regex) {
        const {pattern, flags} = node.regex;
        if (/[^gim]/.test(flags)) yield `${line}: flags ${flags}`;
        if (/\(\?[^:=!]|\\[pPk]/.test(pattern)) yield `${line}: regular expression ${pattern}`;
        if (/[^\x00-\x7f]/.test(pattern)) yield `${line}: a character that is not ASCII`;
    }
    if (node.type === 'AwaitExpression' && functions.at(-1)?.async !== true) yield `${line}: await outside`;
    if (node.async && functions.length) yield `${line}: an async closure`;
    if (node.generator) yield `${line}: a generator`;
    if (/^CallExpression$|^NewExpression$/.test(node.type)) {
        if (['eval', 'Function'].includes(node.callee.name)) yield `${line}: ${node.callee.name}`;
        if (node.arguments.some(each => each.type === 'AwaitExpression')) yield `${line}: await in an argument`;
    }
    const within = /Function/.test(node.type) ? [...functions, node] : functions;
    for (const value of Object.values(node)) {
        for (const child of Array.isArray(value) ? value : [value]) {
            if (typeof child?.type === 'string') yield* problems(child, within);
        }
    }
}

function checked(script) {
    try {
        const options = {ecmaVersion: 'latest', sourceType: 'module', locations: true};
        return [...problems(parse(script, options), [])];
    } catch (error) {
        return [error.message];
    }
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(checked)));
