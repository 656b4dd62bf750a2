// Lucene as a contender: answers the requests of harness/answering.py, one line of JSON each.
//
//     java -cp <jars of lucene-core> Lucene.java
//
// Rows are documents with one field of untokenized terms, which is indexed without positions and
// norms; a query is an OR of terms under BM25 with the defaults. One segment, merged from
// neighbouring ones alone, keeps the rows in their order.

import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.StringField;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.LogByteSizeMergePolicy;
import org.apache.lucene.index.SerialMergeScheduler;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.BooleanClause;
import org.apache.lucene.search.BooleanQuery;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.TermQuery;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.MMapDirectory;

public class Lucene {
    static final String FIELD = "line";
    static final int SLICE = 65536; // rows read at once
    static final int OPENINGS = 5;
    static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    static final Pattern PAIR = Pattern.compile("\"(\\w+)\":\\s*(?:\"([^\"]*)\"|([-\\d.]+))");

    static Path folder;
    static DirectoryReader reader;
    static IndexSearcher searcher;
    static final Map<String, int[][]> queries = new HashMap<>();

    public static void main(String[] words) throws IOException {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, String> asked = new HashMap<>();
            for (Matcher pair = PAIR.matcher(line); pair.find(); ) {
                asked.put(pair.group(1), pair.group(2) != null ? pair.group(2) : pair.group(3));
            }
            String reply;
            try {
                reply = answer(asked);
            } catch (Exception | LinkageError error) {
                error.printStackTrace();
                reply = "{\"failed\": \"" + error.toString().replaceAll("[\"\\\\\\s]+", " ") + "\"}";
            }
            System.out.println(reply);
            System.out.flush();
        }
    }

    static String answer(Map<String, String> asked) throws IOException {
        switch (asked.get("do")) {
            case "build":
                return build(asked);
            case "answer":
                return write(asked);
            case "search":
                return search(asked);
            case "single":
                return single(asked);
            case "open":
                return open();
            default:
                return "{\"missing\": \"" + asked.get("do") + " is not done here.\"}";
        }
    }

    static String build(Map<String, String> asked) throws IOException {
        folder = Path.of(asked.get("folder"), "lucene");
        long cpu = SYSTEM.getProcessCpuTime();
        long wall = System.nanoTime();
        var config = new IndexWriterConfig();
        config.setRAMBufferSizeMB(256);
        config.setMergePolicy(new LogByteSizeMergePolicy());
        config.setMergeScheduler(new SerialMergeScheduler());
        config.setUseCompoundFile(false);
        try (var directory = new MMapDirectory(folder);
                var writer = new IndexWriter(directory, config)) {
            addRows(writer, Path.of(asked.get("pool")), number(asked, "fields"));
            writer.forceMerge(1);
        }
        cpu = SYSTEM.getProcessCpuTime() - cpu;
        wall = System.nanoTime() - wall;
        reopen();
        long bytes = 0;
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                bytes += Files.size(file);
            }
        }
        return "{\"cpu\": " + cpu / 1e9 + ", \"wall\": " + wall / 1e9 + ", \"bytes\": " + bytes
                + ", \"per_idf\": " + perIdf(number(asked, "fields"))
                + ", \"runtime\": \"Java " + Runtime.version() + "\"}";
    }

    /** A score by the sum of the idf: without norms a document counts as one term long. */
    static double perIdf(int width) {
        double k1 = 1.2, b = 0.75;
        return 1 / (1 + k1 * (1 - b + b / width));
    }

    static void addRows(IndexWriter writer, Path pool, int width) throws IOException {
        var document = new Document();
        var fields = new Field[width];
        for (int f = 0; f < width; f++) {
            fields[f] = new StringField(FIELD, "", Field.Store.NO);
            document.add(fields[f]);
        }
        try (var rows = new Rows(pool)) {
            for (int[][] slice = rows.next(SLICE); slice.length > 0; slice = rows.next(SLICE)) {
                for (int[] row : slice) {
                    for (int f = 0; f < width; f++) {
                        fields[f].setStringValue(Integer.toString(row[f]));
                    }
                    writer.addDocument(document);
                }
            }
        }
    }

    static void reopen() throws IOException {
        if (reader != null) {
            reader.close();
        }
        reader = DirectoryReader.open(new MMapDirectory(folder));
        searcher = new IndexSearcher(reader);
        searcher.setSimilarity(new BM25Similarity());
        searcher.setQueryCache(null);
        if (reader.leaves().size() != 1) {
            throw new IOException(reader.leaves().size() + " segments; expected one");
        }
    }

    static ScoreDoc[] find(int[] row, int width, int k) throws IOException {
        var query = new BooleanQuery.Builder();
        for (int f = 0; f < width; f++) {
            var term = new TermQuery(new Term(FIELD, Integer.toString(row[f])));
            query.add(term, BooleanClause.Occur.SHOULD);
        }
        return searcher.search(query.build(), k).scoreDocs;
    }

    static String search(Map<String, String> asked) throws IOException {
        int[][] q = queries(asked.get("queries"));
        int n = number(asked, "n"), k = number(asked, "k"), width = number(asked, "fields");
        long cpu = SYSTEM.getProcessCpuTime();
        long wall = System.nanoTime();
        for (int b = 0; b < n; b++) {
            find(q[b], width, k);
        }
        cpu = SYSTEM.getProcessCpuTime() - cpu;
        wall = System.nanoTime() - wall;
        return "{\"cpu\": " + cpu / 1e9 + ", \"wall\": " + wall / 1e9 + ", \"units\": " + n + "}";
    }

    static String single(Map<String, String> asked) throws IOException {
        int[][] q = queries(asked.get("queries"));
        int n = number(asked, "n"), k = number(asked, "k"), width = number(asked, "fields");
        var taken = new long[n];
        for (int b = 0; b < n; b++) {
            long begun = System.nanoTime();
            find(q[b], width, k);
            taken[b] = System.nanoTime() - begun;
        }
        Arrays.sort(taken);
        return "{\"p50\": " + taken[n / 2] / 1e3 + ", \"p99\": " + taken[n * 99 / 100] / 1e3 + "}";
    }

    static String open() throws IOException {
        var taken = new long[OPENINGS];
        for (int i = 0; i < OPENINGS; i++) {
            long begun = System.nanoTime();
            reopen();
            taken[i] = System.nanoTime() - begun;
        }
        Arrays.sort(taken);
        return "{\"seconds\": " + taken[OPENINGS / 2] / 1e9 + "}";
    }

    static String write(Map<String, String> asked) throws IOException {
        int[][] q = queries(asked.get("queries"));
        int n = number(asked, "n"), k = number(asked, "k"), width = number(asked, "fields");
        try (var ids = new DataOutputStream(stream(asked.get("out") + ".ids"));
                var scores = new DataOutputStream(stream(asked.get("out") + ".scores"))) {
            for (int b = 0; b < n; b++) {
                ScoreDoc[] found = find(q[b], width, k);
                for (int i = 0; i < k; i++) {
                    boolean hit = i < found.length;
                    float score = hit ? found[i].score : 0;
                    ids.writeInt(Integer.reverseBytes(hit ? found[i].doc : -1));
                    scores.writeInt(Integer.reverseBytes(Float.floatToRawIntBits(score)));
                }
            }
        }
        return "{}";
    }

    static OutputStream stream(String path) throws IOException {
        return new BufferedOutputStream(Files.newOutputStream(Path.of(path)));
    }

    static int[][] queries(String path) throws IOException {
        int[][] held = queries.get(path);
        if (held == null) {
            try (var rows = new Rows(Path.of(path))) {
                held = rows.next(Integer.MAX_VALUE);
            }
            queries.put(path, held);
        }
        return held;
    }

    static int number(Map<String, String> asked, String name) {
        return Integer.parseInt(asked.get(name));
    }

    /** The rows of an int32 matrix in a .npy file, read in slices. */
    static class Rows implements AutoCloseable {
        final FileChannel file;
        final int width;
        long left;

        Rows(Path path) throws IOException {
            file = FileChannel.open(path);
            ByteBuffer start = read(10); // magic, version 1, length of the header
            byte[] header = read(start.getShort(8)).array();
            String text = new String(header, StandardCharsets.ISO_8859_1);
            Matcher shape = Pattern.compile("\\((\\d+), (\\d+)\\)").matcher(text);
            if (!text.contains("<i4") || !text.contains("False") || !shape.find()) {
                throw new IOException(path + " is no matrix of int32 in C order");
            }
            left = Long.parseLong(shape.group(1));
            width = Integer.parseInt(shape.group(2));
        }

        int[][] next(int most) throws IOException {
            int n = (int) Math.min(left, most);
            left -= n;
            var values = read(n * width * 4).asIntBuffer();
            var rows = new int[n][width];
            for (int[] row : rows) {
                values.get(row);
            }
            return rows;
        }

        ByteBuffer read(int bytes) throws IOException {
            var buffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
            while (buffer.hasRemaining() && file.read(buffer) >= 0) {
                continue;
            }
            if (buffer.hasRemaining()) {
                throw new IOException("the file is shorter than its header says");
            }
            return buffer.flip();
        }

        @Override
        public void close() throws IOException {
            file.close();
        }
    }
}
