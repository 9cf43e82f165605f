// The HttpClient of the JDK with its defaults: it offers HTTP/2 by an upgrade. `java JdkClient.java`, key and base URL as in the
// environment. Prints the answer's body.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

class JdkClient {
    public static void main(String[] arguments) throws Exception {
        var body = "{\"model\": \"gpt-image-1\", \"prompt\": \"A lighthouse, drawn for jdk-httpclient\"}";
        var request = HttpRequest.newBuilder(URI.create(System.getenv("OPENAI_BASE_URL") + "/images/generations"))
            .header("Authorization", "Bearer " + System.getenv("OPENAI_API_KEY"))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
