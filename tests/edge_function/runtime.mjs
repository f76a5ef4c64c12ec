// A stand-in for the runtime of CloudFront Functions, cloudfront-js-2.0: what the developer guide
// lists ("JavaScript runtime 2.0 features", "Helper methods for key value stores", "Event
// structure", "General helper methods"), and nothing that it does not list. Reads JSON from
// standard input: {stores: [{key: value}], runs: [{source, store, requests: [[method, target,
// headers]], viewers: [[ip, number of a request]]}]}. Writes for each run {answers, found: [[number
// of an answer, or -1 if the request went on, reads]]}.
import {readFileSync} from 'node:fs';
import vm from 'node:vm';

const LISTED = {
    Object: ['assign', 'create', 'defineProperties', 'defineProperty', 'entries', 'freeze',
        'getOwnPropertyDescriptor', 'getOwnPropertyDescriptors', 'getOwnPropertyNames',
        'getPrototypeOf', 'isExtensible', 'isFrozen', 'isSealed', 'keys', 'preventExtensions',
        'seal', 'values'],
    'Object.prototype': ['hasOwnProperty', 'isPrototypeOf', 'propertyIsEnumerable', 'toString', 'valueOf'],
    String: ['fromCharCode', 'fromCodePoint'],
    'String.prototype': ['charAt', 'concat', 'indexOf', 'lastIndexOf', 'match', 'replace', 'search',
        'slice', 'split', 'substr', 'substring', 'toLowerCase', 'trim', 'toUpperCase', 'codePointAt',
        'endsWith', 'includes', 'repeat', 'startsWith', 'padStart', 'padEnd', 'trimStart', 'trimEnd',
        'replaceAll', 'toString', 'valueOf'],
    Array: ['isArray', 'of'],
    'Array.prototype': ['concat', 'every', 'filter', 'forEach', 'indexOf', 'join', 'lastIndexOf', 'map',
        'pop', 'push', 'reduce', 'reduceRight', 'reverse', 'shift', 'slice', 'some', 'sort', 'splice',
        'unshift', 'copyWithin', 'fill', 'find', 'findIndex', 'includes', 'toString'],
    'RegExp.prototype': ['exec', 'test', 'toString', 'global', 'ignoreCase', 'multiline', 'source',
        'sticky', 'flags', 'hasIndices', 'dotAll', 'unicode', 'unicodeSets'],
    'Function.prototype': ['apply', 'bind', 'call', 'toString'],
    'Number.prototype': ['toExponential', 'toFixed', 'toPrecision', 'toString', 'valueOf'],
    'Promise.prototype': ['catch', 'finally', 'then']
};
const GLOBALS = ['Object', 'String', 'Number', 'Boolean', 'Array', 'RegExp', 'Function', 'Math', 'Date',
    'JSON', 'Promise', 'Symbol', 'Error', 'EvalError', 'RangeError', 'ReferenceError', 'SyntaxError',
    'TypeError', 'URIError', 'decodeURI', 'decodeURIComponent', 'encodeURI', 'encodeURIComponent',
    'isFinite', 'isNaN', 'parseFloat', 'parseInt', 'NaN', 'Infinity', 'undefined', 'globalThis'];

function bareContext() {
    const context = vm.createContext({}, {codeGeneration: {strings: false, wasm: false}});
    vm.runInContext(`for (const [path, names] of Object.entries(${JSON.stringify(LISTED)})) {
        const owner = path.split('.').reduce((each, name) => each[name], globalThis);
        for (const name of Object.getOwnPropertyNames(owner)) {
            if (typeof Object.getOwnPropertyDescriptor(owner, name).value === 'function' &&
                name !== 'constructor' && !names.includes(name)) delete owner[name];
        }
    }
    for (const name of Object.getOwnPropertyNames(globalThis)) {
        if (!${JSON.stringify(GLOBALS)}.includes(name)) delete globalThis[name];
    }`, context);
    return context;
}

async function loaded(source, store, reads) {
    const kvs = {
        async get(key) {
            reads.count++;
            if (typeof key !== 'string' || key.length > 512) throw new Error('InvalidKey');
            if (!Object.hasOwn(store, key)) throw new Error('KeyNotFound');
            return store[key];
        }
    };
    const context = bareContext();
    const module = new vm.SourceTextModule(`${source}\nglobalThis.handler = handler;`, {context});
    await module.link(async name => {
        if (name !== 'cloudfront') throw new Error(`no module ${name}`);
        const given = new vm.SyntheticModule(
            ['default'], () => given.setExport('default', {kvs: () => kvs}), {context});
        return given;
    });
    await module.evaluate();
    return context.handler;
}

// One field for each name; a name that is there twice has multiValue, too
function collapsed(pairs) {
    const fields = {};
    for (const [name, value] of pairs) {
        const known = Object.hasOwn(fields, name) ? fields[name] : undefined;
        if (known === undefined) {
            Object.defineProperty(fields, name, {value: {value}, enumerable: true});
        } else {
            (known.multiValue ??= [{value: known.value}]).push({value});
        }
    }
    return fields;
}

function cut(text, mark) {
    const at = text.indexOf(mark);
    return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + mark.length)];
}

function eventOf(ip, [method, target, headers]) {
    const [uri, query] = cut(target, '?');
    const fields = Object.entries(headers);
    const cookies = fields.filter(([name]) => name === 'cookie').flatMap(
        ([, value]) => value.split(';').map(pair => cut(pair.trim(), '=')));
    const request = {
        method, uri,
        querystring: collapsed(query ? query.split('&').map(part => cut(part, '=')) : []),
        headers: collapsed(fields.filter(([name]) => name !== 'cookie')),
        cookies: collapsed(cookies)
    };
    const raw = target.includes('?') ? query : undefined;
    Object.defineProperty(request, 'rawQueryString', {value: () => raw, configurable: true});
    return {version: '1.0', context: {eventType: 'viewer-request'}, viewer: {ip}, request};
}

const {stores, runs} = JSON.parse(readFileSync(0, 'utf8'));
const results = [];
const handlers = new Map();
const reads = {count: 0};
for (const {source, store, requests, viewers, raw} of runs) {
    const id = `${store} ${source}`;
    if (!handlers.has(id)) handlers.set(id, await loaded(source, stores[store], reads));
    const handler = handlers.get(id);
    const found = [];
    const numbers = new Map();
    for (const [ip, number] of viewers) {
        const event = eventOf(ip, requests[number]);
        if (raw === false) delete event.request.rawQueryString;
        const before = found.length % 10 === 0 ? JSON.stringify(event) : '';
        reads.count = 0;
        const answer = await handler(event);
        if (before && JSON.stringify(event) !== before) throw new Error(`changed: ${before}`);
        const text = answer === event.request ? '' : JSON.stringify(answer);
        if (text && !numbers.has(text)) numbers.set(text, numbers.size);
        found.push([text ? numbers.get(text) : -1, reads.count]);
    }
    results.push({answers: [...numbers.keys()].map(text => JSON.parse(text)), found});
}
process.stdout.write(JSON.stringify(results));
