// A machine that only speaks the port protocol: it reads four beats from address 0, traces each as
// a write of the activation memory, and stores their complements at address 64. The first beat
// can ask for misbehaviour: ff..ff hang, ff..fe leave the memory, ff..fd overlap two bursts.
module machine (
    input clk, input reset, input start, output reg done,
    output reg mem_start, output reg mem_write, output reg [31:0] mem_address,
    output reg [8:0] mem_beats, output [31:0] mem_wdata, input mem_valid, input [31:0] mem_rdata,
    output reg [2:0] trace_started, output reg [2:0] trace_ended, output reg trace_write,
    output reg [10:0] trace_row, output reg [10:0] trace_odd_row,
    output reg [7:0] trace_mask, output reg [31:0] trace_codes);

    reg [31:0] words [0:3];
    reg [2:0] count;
    reg storing;
    assign mem_wdata = ~words[count[1:0]];

    always @(posedge clk) begin
        mem_start <= 0;
        trace_started <= 0;
        trace_ended <= 0;
        trace_write <= 0;
        if (reset) begin
            done <= 0;
            count <= 0;
            storing <= 0;
        end
        else if (start) begin
            mem_start <= 1;
            mem_write <= 0;
            mem_address <= 0;
            mem_beats <= 4;
            trace_started <= 1;
        end
        else if (mem_valid) begin
            count <= count == 3 ? 0 : count + 1;
            if (!storing) begin
                words[count[1:0]] <= mem_rdata;
                trace_write <= 1;
                trace_row <= {8'd0, count};
                trace_odd_row <= {8'd0, count} + mem_rdata[31:31];
                trace_mask <= mem_rdata[7:0];
                trace_codes <= mem_rdata;
            end
            if (!storing && words[0] == 32'hfffffffd && count == 2) mem_start <= 1;
            if (count == 3 && !storing && words[0] != 32'hffffffff) begin
                storing <= 1;
                trace_ended <= 1;
                trace_started <= 4;
                mem_start <= 1;
                mem_write <= 1;
                mem_address <= words[0] == 32'hfffffffe ? 32'h80000000 : 64;
            end
            if (count == 3 && storing) begin
                trace_ended <= 4;
                done <= 1;
            end
        end
    end
endmodule
