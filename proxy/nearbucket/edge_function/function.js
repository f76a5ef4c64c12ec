// Viewer request, cloudfront-js-2.0: redirects clients in AWS to the bucket in their region
import cf from 'cloudfront';

const kvs = cf.kvs();
//POLICY//

const SIGNED = /(?:^|&)(?:x-amz-|awsaccesskeyid=|signature=|key-pair-id=)/i;
const CRC = [0, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c];

async function handler(event) {
    try {
        const answer = await redirect(event.request, event.viewer.ip);
        if (answer) {
            return answer;
        }
    } catch (error) {
        // in doubt CloudFront answers
    }
    return event.request;
}

async function redirect(request, ip) {
    const site = siteOf(field(request.headers, 'host'));
    if (!site || !/^(?:GET|HEAD)$/.test(request.method)) {
        return null;
    }
    const path = request.uri === WELL_KNOWN ? '' : keyPath(site, request.uri);
    const address = packed(ip);
    if (!path || !address || !site.paths.test(path) || site.exclude.test(path) ||
        staysHere(site, path, request) || inside(site.networks, address)) {
        return null;
    }
    const region = await regionOf(address);
    const target = site.targets.find(each => each[0].split(' ').indexOf(region) >= 0);
    if (!target || (site.percent < 100 && share(address, path) >= site.percent)) {
        return null;
    }
    return answerOf(request, site, baseOf(target, address, region) + path, region);
}

// In the URLs of a target a space stands for the region; the second is that for IPv6
function baseOf(target, address, region) {
    const six = target[2] || target[1].replace('s3. ', 's3.dualstack. ');
    return (address.length > 9 ? six : target[1]).split(' ').join(region);
}

function answerOf(request, site, location, region) {
    const headers = {
        'location': {value: location},
        'cache-control': {value: 'private, no-store'},
        'content-type': {value: 'text/plain; charset=utf-8'}
    };
    if (own(request.headers, 'origin')) {
        headers['access-control-allow-origin'] = {value: '*'};
    }
    if (REASON_HEADER) {
        headers['x-nearbucket'] = {value: 'redirect; region=' + region + '; reason=in-region'};
    }
    const text = 'Moved to ' + location + '\nTo follow redirects with curl, add -L.\n';
    return {
        statusCode: site.status,
        headers: headers,
        body: {encoding: 'text', data: request.method === 'GET' ? text : ''}
    };
}

function own(table, name) {
    return Object.prototype.hasOwnProperty.call(table, name);
}

function values(entry) {
    return (entry.multiValue || [entry]).map(each => each.value);
}

function field(headers, name) {
    return own(headers, name) ? values(headers[name]).join(', ') : '';
}

function siteOf(authority) {
    if (own(HOSTS, authority)) {
        return SITES[HOSTS[authority]];
    }
    const mark = authority.indexOf(']') < 0 ? ':' : ']:';
    const end = authority.indexOf(mark);
    const port = end < 0 ? '' : authority.slice(end + mark.length);
    if (/[@,]/.test(authority) || /[^0-9]/.test(port)) {
        return null;
    }
    let host = end < 0 ? authority : authority.slice(0, end);
    if (host.charAt(0) === '[') {
        host = host.replace(/\]+$/, '') + ']';
    }
    host = host.toLowerCase().replace(/\.+$/, '');
    return SITES[HOSTS[own(HOSTS, host) ? host : '*']];
}

// Percent-encoded as S3 signatures prescribe, which patterns are matched against
function encoded(text) {
    return encodeURIComponent(text).replace(/%2F/g, '/')
        .replace(/[!'()*]/g, mark => '%' + mark.codePointAt(0).toString(16).toUpperCase());
}

// The object key of a path, encoded; empty if there is none
function keyPath(site, uri) {
    if (uri.charAt(0) !== '/' || /[^!"$-\[\]-~]|%(?![0-9A-Fa-f]{2})/.test(uri)) {
        return '';
    }
    let key = decodeURIComponent(uri).slice(1);
    if (/[\x00-\x1f\x7f\\]|(?:^|\/)\.{1,2}(?:\/|$)/.test(key)) {
        return '';
    }
    if (key === '' || key.endsWith('/')) {
        key += site.index;
    }
    const path = encoded(key);
    return path.replace(/%../g, '.').length > site.maxKey ? '' : path;
}

// Whether the client or the request must be answered here: mutable, HEAD, opt-out, credentials
function staysHere(site, path, request) {
    const headers = request.headers;
    const query = queryOf(request);
    const parts = query.split('&');
    return site.mutable.test(path) || (request.method === 'HEAD' && !site.head) ||
        own(headers, site.header) || parts.indexOf(site.query) >= 0 ||
        site.agents.test(encoded(field(headers, 'user-agent'))) ||
        own(headers, 'authorization') || SIGNED.test(query) ||
        parts.some(part => site.args.indexOf(argument(part)) >= 0) ||
        hasCookie(site, request.cookies || {});
}

function queryOf(request) {
    const raw = request.rawQueryString ? request.rawQueryString() : '';
    if (raw) {
        return raw;
    }
    // events of `aws cloudfront test-function` have no raw query
    const parts = [];
    Object.keys(request.querystring || {}).forEach(name =>
        values(request.querystring[name]).forEach(value =>
            parts.push(value === '' ? name + '&' + name + '=' : name + '=' + value)));
    return parts.join('&');
}

function argument(part) {
    try {
        return decodeURIComponent(part.split('=')[0]);
    } catch (error) {
        return '';
    }
}

function hasCookie(site, cookies) {
    let text = '';
    Object.keys(cookies).forEach(name => values(cookies[name]).forEach(value => {
        text += ';' + name + '=' + value;
    }));
    const names = text.split(/[;,]/).map(pair => pair.split('=')[0].trim()).filter(name => name);
    return text !== '' && (names.length ? names : ['']).some(name => site.cookies.test(encoded(name)));
}

// '4' or '6' and the hexadecimal digits of an address; empty if it is none
function packed(ip) {
    const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(ip);
    if (dotted) {
        const bytes = dotted.slice(1);
        if (bytes.some(byte => byte > 255 || /^0\d/.test(byte))) {
            return '';
        }
        const tail = bytes.map(byte => ('0' + (+byte).toString(16)).slice(-2)).join('');
        if (dotted[0] === ip) {
            return '4' + tail;
        }
        ip = ip.slice(0, -dotted[0].length) + tail.slice(0, 4) + ':' + tail.slice(4);
    }
    const halves = ip.split('::').map(half => half ? half.split(':') : []);
    const groups = halves[0].concat(halves[1] || []);
    const gap = 8 - groups.length;
    if (halves.length > 2 || (halves.length === 2 ? gap < 1 : gap) ||
        groups.some(group => !/^[0-9A-Fa-f]{1,4}$/.test(group))) {
        return '';
    }
    const digits = list => list.map(group => ('000' + group).slice(-4)).join('').toLowerCase();
    const all = digits(halves[0]) + '0000'.repeat(gap) + digits(halves[1] || []);
    return /^0{20}ffff/.test(all) ? '4' + all.slice(24) : '6' + all;
}

function addressText(address) {
    const bytes = at => [0, 2, 4, 6].map(i => parseInt(address.slice(at + i, at + i + 2), 16));
    if (address.length === 9) {
        return bytes(1).join('.');
    }
    if (/^60{24}(?!0000)/.test(address)) {
        return '::' + bytes(25).join('.');
    }
    const text = address.slice(1).match(/..../g).map(group => parseInt(group, 16).toString(16)).join(':');
    for (let zeros = 8; zeros > 1; zeros--) {
        const run = new RegExp('(?:^|:)0(?::0){' + (zeros - 1) + '}(?::|$)');
        if (run.test(text)) {
            return text.replace(run, '::');
        }
    }
    return text;
}

// Whether one of the ranges of leading digits, 'first-last' or 'both', holds the digits
function inside(ranges, digits) {
    return ranges.some(range => {
        const ends = range.split('-');
        const last = ends[ends.length - 1];
        return ends[0] <= digits && digits.slice(0, last.length) <= last;
    });
}

async function regionOf(address) {
    let length = address.length > 9 ? 9 : 5;
    let value = '+';
    while (value === '+') {
        try {
            value = await kvs.get(address.slice(0, length));
        } catch (error) {
            // no such key
            return '';
        }
        length++;
    }
    const digits = address.slice(length - 1);
    const found = value.split(';').find(
        group => inside(group.slice(group.indexOf(' ') + 1).split(','), digits));
    return found ? found.slice(0, found.indexOf(' ')) : '';
}

// A stable hash of client and key (CRC-32), from 0 to below 100, to compare with `percent`
function share(address, path) {
    const text = addressText(address) + '\n' + path;
    let crc = -1;
    for (let i = 0; i < text.length; i++) {
        let byte = text.codePointAt(i);
        if (byte === 37) {
            byte = parseInt(text.slice(i + 1, i + 3), 16);
            i += 2;
        }
        crc = crc >>> 4 ^ CRC[(crc ^ byte) & 15];
        crc = crc >>> 4 ^ CRC[(crc ^ byte >>> 4) & 15];
    }
    return (~crc >>> 0) % 10000 * 100 / 10000;
}
